// The trials of a study, in the order of their numbers, all or of one status; loaded when the reader opens the list.

import { get } from "./api.js";
import { h } from "./dom.js";
import { number, origin, setting } from "./format.js";
import { settings, status } from "./parts.js";

const PAGE = 100;
const FILTERS = [["", "all"], ["leased", "running"], ["queued", "queued"], ["complete", "complete"], ["diverged", "diverged"], ["pruned", "pruned"], ["failed", "failed"], ["cancelled", "cancelled"]];

/** Its state lives with the study's page: open or not, which status, how many pages. */
export function trialList(studyId, reload) {
  const view = { open: false, status: "", cursors: [null] };
  const path = (cursor) => `/studies/${studyId}/trials?limit=${PAGE}${view.status ? `&status=${view.status}` : ""}${cursor ? `&cursor=${cursor}` : ""}`;
  const load = async () => {
    if (!view.open) return null;
    return get(path(view.cursors.at(-1)));
  };
  const go = (change) => {
    Object.assign(view, change);
    reload();
  };
  return { load, render: (page) => render(page ?? null, view, go) };
}

function render(page, view, go) {
  return h("details", { class: "card table-card trials", id: "trials", open: view.open, ontoggle: (event) => event.currentTarget.open !== view.open && go({ open: event.currentTarget.open }) },
    h("summary", null, h("h2", null, "All trials")),
    h("div", { class: "filters" }, h("label", null, "Status ", h("select", { onchange: (event) => go({ status: event.currentTarget.value, cursors: [null] }) },
      FILTERS.map(([name, text]) => h("option", { value: name, selected: name === view.status }, text))))),
    page === null ? h("p", { class: "quiet pad" }, "Loading…") : page.items.length ? table(page.items) : h("p", { class: "quiet pad" }, "No trial is in this state."),
    h("p", { class: "pager" },
      view.cursors.length > 1 ? h("button", { type: "button", class: "link", onclick: () => go({ cursors: view.cursors.slice(0, -1) }) }, "← Previous") : null,
      page?.next ? h("button", { type: "button", class: "link", onclick: () => go({ cursors: [...view.cursors, page.next] }) }, `Next ${PAGE} →`) : null));
}

function table(rows) {
  const columns = [["Trial", ""], ["Status", ""], ["Schedule", ""], ["Parameters", ""], ["Seed", "right"], ["Result", "right"], ["Updates", "right"], ["Worker", ""]];
  return h("table", { class: "stacked" },
    h("thead", null, h("tr", null, columns.map(([text, kind]) => h("th", { scope: "col", class: kind || null }, text)))),
    h("tbody", null, rows.map((row) => h("tr", { key: row.id },
      h("td", null, h("a", { class: "name", href: `#/trials/${row.id}`, title: `trial ${row.id}, from ${origin(row.origin)}` }, `#${row.number}`)),
      h("td", { "data-label": "Status" }, status(row.status)),
      h("td", { "data-label": "Schedule" }, row.family),
      h("td", { class: "param-cell" }, settings(row.params, setting)),
      h("td", { class: "right", "data-label": "Seed" }, row.seed),
      h("td", { class: "right value", "data-label": "Result" }, number(row.objective)),
      h("td", { class: "right", "data-label": "Updates" }, row.total_steps === null ? "–" : `${number(row.steps_done)} / ${number(row.total_steps)}`),
      h("td", { "data-label": "Worker" }, row.worker ?? "–")))));
}
