// The list of studies: where each stands, what it has found, what it cost.

import { get } from "./api.js";
import { h } from "./dom.js";
import { aim, budget, duration, interval, search, task } from "./format.js";
import { age, empty, legend, notice, progressBar, progressText, status } from "./parts.js";

const PAGE = 50;

export function studiesPage({ query }) {
  const cursor = query.get("cursor");
  const path = `/studies?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
  return {
    load: () => get(path),
    live: (page) => page.items.some((study) => !study.finished_at),
    title: () => "Studies",
    render: (page) => [h("div", { class: "page-head" }, h("h1", null, "Studies")), page.items.length ? list(page, cursor) : none(cursor)],
  };
}

function none(cursor) {
  if (cursor) return empty("No older studies", "This is the end of the list.");
  return empty("No studies yet", "A study trains a model with many learning-rate schedules and tells you which to use. Submit the first one from a terminal:",
    "switchback submit examples/tpe.yaml");
}

function list(page, cursor) {
  return [
    h("div", { class: "card table-card" }, h("table", { class: "studies stacked" },
      h("thead", null, h("tr", null, ["Study", "Progress", "Best so far", "Cost", "Submitted"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", null, page.items.map(row)))),
    h("p", { class: "pager" }, cursor ? h("a", { href: "#/" }, "← Newest") : null,
      page.next ? h("a", { href: `#/?cursor=${encodeURIComponent(page.next)}` }, "Older studies →") : null),
  ];
}

function row(study) {
  const { definition: asked, progress, best } = study;
  return h("tr", { key: study.id, "data-study": study.id },
    h("td", { class: "wide" },
      h("div", { class: "name-line" }, h("a", { class: "name", href: `#/studies/${study.id}` }, asked.name), status(study.status)),
      h("div", { class: "sub" }, `${task(asked.task)} · ${budget(asked.budget)} · ${search(asked)}`),
      notice("wait", "Waiting:", study.waiting)),
    h("td", { "data-label": "Progress", class: "progress-cell" }, progressBar(progress), h("div", { class: "sub", title: legend(progress) }, progressText(progress))),
    h("td", { "data-label": "Best so far" }, asked.search.method === "range_test" ? h("a", { class: "sub", href: `#/studies/${study.id}` }, "see the reading") : best && best.mean !== null
      ? [h("span", { class: "value" }, interval(best, [best])), h("div", { class: "sub" }, `${asked.objective.metric} · ${best.family}`)]
      : h("span", { class: "sub" }, study.status === "running" ? `to ${aim(asked)}` : "none")),
    h("td", { "data-label": "Cost", title: "Seconds of device time spent on training" }, h("span", { class: "value" }, duration(study.device_seconds))),
    h("td", { "data-label": "Submitted" }, age(study.created_at)));
}
