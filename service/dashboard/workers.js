// The workers: who trains, on what, and what they are at.

import { get } from "./api.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { age, empty } from "./parts.js";

export function workersPage() {
  return {
    load: () => get("/workers?limit=500"),
    live: (page) => page.items.some((worker) => worker.live),
    title: () => "Workers",
    render: (page) => [h("div", { class: "page-head" }, h("h1", null, "Workers"), summary(page.items)), page.items.length ? list(page.items) : none()],
  };
}

function summary(workers) {
  const live = workers.filter((worker) => worker.live);
  const busy = live.filter((worker) => worker.trials.length);
  return workers.length ? h("p", { class: "sub" }, `${live.length} live, ${busy.length} training`) : null;
}

function none() {
  return empty("No worker has called yet", "A worker asks this service for trials and trains them. Start one on any machine that can reach it:",
    `switchback worker --url ${location.origin}`);
}

function list(workers) {
  const columns = ["Worker", "Device", "Training", "Can train", "Last heard of"];
  return h("div", { class: "card table-card" }, h("table", { class: "stacked" },
    h("thead", null, h("tr", null, columns.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", null, workers.map(row))));
}

function row(worker) {
  const shown = worker.tasks.slice(0, 6);
  const more = worker.tasks.length - shown.length;
  return h("tr", { key: worker.id, class: worker.live ? null : "faded" },
    h("td", { class: "wide" }, h("div", { class: "name-line" }, h("span", { class: "name" }, worker.name),
      h("span", { class: `status status-${worker.live ? "live" : "gone"}` }, worker.live ? "live" : "gone")),
      h("div", { class: "sub mono" }, `${worker.id} · ${worker.version}`)),
    h("td", { "data-label": "Device" }, worker.device),
    h("td", { "data-label": "Training" }, worker.trials.length
      ? h("span", { class: "links" }, worker.trials.slice(0, 12).map((id) => h("a", { href: `#/trials/${id}` }, `trial ${id}`)),
        worker.trials.length > 12 ? `and ${worker.trials.length - 12} more` : null)
      : h("span", { class: "sub" }, worker.live ? "idle" : "–")),
    h("td", { "data-label": "Can train", class: "tasks", title: worker.tasks.join("\n") }, shown.join(", "), more > 0 ? ` and ${count(more, "more", "more")}` : null),
    h("td", { "data-label": "Last heard of" }, age(worker.last_seen_at)));
}
