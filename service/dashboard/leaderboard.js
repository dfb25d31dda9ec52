// The leaderboard: configurations by mean and deviation, which also serves as the key to the curves' colours.

import { scaleOf, swatch, whisker } from "./drawing.js";
import { h } from "./dom.js";
import { count, interval, setting } from "./format.js";
import { settings } from "./parts.js";

/** `style(family)` gives colours, `picked` is the set of highlighted configurations, `pick(config)` flips one. */
export function leaderboard(entries, definition, { style, picked, pick, limit, more }) {
  const { metric, direction } = definition.objective;
  const scale = scaleOf(entries);
  return h("section", { class: "card table-card", id: "leaderboard" },
    h("div", { class: "card-head" }, h("h2", null, "Leaderboard"),
      h("p", { class: "sub" }, picked.size ? [`${picked.size} highlighted `, h("button", { type: "button", class: "link", onclick: () => pick(null) }, "clear")]
        : `${direction} ${metric}, mean ± std over seeds. Select a row to highlight its curves.`)),
    entries.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Leaderboard rows" },
      h("table", { class: "board stacked" }, head(metric),
        h("tbody", null, entries.map((entry) => row(entry, { style, scale, picked, pick, entries })))),
      entries.length === limit ? h("p", { class: "pager" }, h("button", { type: "button", class: "link", onclick: more }, "Show more")) : null)
      : h("p", { class: "quiet pad" }, "No trial has finished yet. Configurations are ranked here as soon as they have a result."));
}

function head(metric) {
  const columns = [["#", "rank"], ["Schedule", ""], ["Parameters", ""], [metric, "right"], ["Spread", "spread"], ["Seeds", "right"], ["Trials", ""]];
  return h("thead", null, h("tr", null, columns.map(([text, kind]) => h("th", { scope: "col", class: kind || null }, text))));
}

function row(entry, { style, scale, picked, pick, entries }) {
  const look = style(entry.family);
  const on = picked.has(entry.config);
  const flip = (event) => {
    if (!event.target.closest("a")) pick(entry.config);
  };
  return h("tr", { key: entry.config, class: `pickable${on ? " picked" : ""}`, "data-rank": entry.rank, onclick: flip },
    h("td", { class: "rank" }, h("button", { type: "button", "aria-pressed": String(on), "aria-label": `Highlight the curves of rank ${entry.rank}, ${entry.family}` }, entry.rank)),
    h("td", { class: "family" }, swatch(look), entry.family),
    h("td", { class: "param-cell" }, settings(entry.params, setting)),
    h("td", { class: "right value", "data-label": "Result" }, entry.mean === null ? h("span", { class: "bad" }, "diverged") : interval(entry, entries)),
    h("td", { class: "spread" }, entry.mean === null ? null : whisker(entry, scale, look.colour)),
    h("td", { class: "right seeds", "data-label": "Seeds" }, entry.complete, h("span", { class: "phone-only" }, entry.complete === 1 ? " seed" : " seeds"), entry.diverged ? h("span", { class: "bad", title: `${count(entry.diverged, "trial")} diverged` }, ` +${entry.diverged} diverged`) : null),
    h("td", { class: "links", "data-label": "Trials" }, entry.trial_ids.slice(0, 5).map((id) => h("a", { href: `#/trials/${id}` }, id)), entry.trial_ids.length > 5 ? "…" : null));
}
