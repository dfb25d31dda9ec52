// A range test: the loss against the rate, what was read from it, and why.

import { draw, line } from "./charts.js";
import { h } from "./dom.js";
import { number, setting, words } from "./format.js";
import { token } from "./palette.js";
import { code } from "./parts.js";

const CHART = "range-chart";

export function rangePanel(found) {
  return h("div", { class: "range" },
    h("section", { class: "card chart-card" },
      h("div", { class: "card-head" }, h("h2", null, "Loss against learning rate"), h("p", { class: "sub key" }, "thin: each seed · thick: smoothed mean · band: bracket · line: suggestion")),
      h("div", { id: CHART, class: "chart tall", "data-own": true })),
    h("section", { class: "card reading", id: "reading" }, reading(found)));
}

function reading(found) {
  if (found.suggestion === null) {
    return [h("h2", null, found.done ? "No suggestion" : "Reading"), h("p", { id: "reason" }, found.done || found.curves.length ? found.reason : "The curves appear here while the rate rises.")];
  }
  const bracketed = found.low !== null && found.high !== null;
  return [
    h("h2", null, found.done ? "Suggested peak rate" : "Suggestion so far"),
    h("p", { class: "winner-value", id: "suggestion" }, number(found.suggestion, 3)),
    bracketed ? h("p", null, "Search between ", h("b", null, number(found.low, 3)), " and ", h("b", null, number(found.high, 3)), ".") : null,
    h("p", { class: "reason", id: "reason" }, found.reason),
    rules(found.rules),
    bracketed ? [h("h3", null, "Search this bracket"), code(yaml(found), "Copy the space for a study file")] : null,
  ];
}

function rules(values) {
  const names = Object.keys(values);
  return names.length ? [h("h3", null, "What the rules say"),
    h("dl", { class: "metrics" }, names.map((name) => h("div", null, h("dt", null, words(name)), h("dd", null, number(values[name], 3)))))] : null;
}

const yaml = (found) => `space:\n  lr: {low: ${plain(found.low)}, high: ${plain(found.high)}, log: true}`;
const plain = (value) => setting(Number(value.toPrecision(2)));

export async function drawRange(found) {
  const accent = token("--accent");
  const seeds = found.curves.map((curve) => line({
    x: curve.lr, y: curve.loss, name: `trial ${curve.trial_id}`, colour: token("--quiet"), width: 1, opacity: 0.55, of: "rate",
  }));
  const smoothed = found.smoothed_lr.length
    ? [line({ x: found.smoothed_lr, y: found.smoothed_loss, name: "smoothed mean", colour: accent, width: 3, of: "rate" })] : [];
  const visible = found.curves.length > 0;
  await draw(CHART, [...seeds, ...smoothed], {
    x: { title: "learning rate", log: true, visible }, y: { title: "training loss", range: readable(found), visible },
    shapes: marks(found, accent), annotations: labels(found), revision: "range",
    label: `Training loss against the learning rate, ${found.curves.length} seeds. ${found.reason}`,
  });
}

/** The part of the loss axis where the curve is read: a diverging end would flatten the rest. */
function readable(found) {
  const smooth = found.smoothed_loss.filter(Number.isFinite);
  if (smooth.length < 3) return null;
  const [low, start] = [Math.min(...smooth), smooth[0]];
  const room = Math.max(start - low, 0.1 * Math.abs(start), 1e-6);
  return [low - 0.25 * room, Math.min(Math.max(...smooth), start + 0.75 * room) + 0.15 * room];
}

function marks(found, accent) {
  const band = found.low === null || found.high === null ? [] : [{
    type: "rect", xref: "x", yref: "paper", x0: found.low, x1: found.high, y0: 0, y1: 1, fillcolor: accent, opacity: 0.1, line: { width: 0 }, layer: "below",
  }];
  const at = found.suggestion === null ? [] : [{
    type: "line", xref: "x", yref: "paper", x0: found.suggestion, x1: found.suggestion, y0: 0, y1: 1, line: { color: accent, width: 2, dash: "dash" },
  }];
  return [...band, ...at];
}

function labels(found) {
  if (!found.curves.length) return [{ text: "no curve yet", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5, font: { color: token("--quiet") } }];
  if (found.suggestion === null) return [];
  return [{
    text: number(found.suggestion, 3), x: Math.log10(found.suggestion), xref: "x", y: 1, yref: "paper", yanchor: "top", xanchor: "right",
    showarrow: false, xshift: -6, font: { color: token("--accent"), size: 13, weight: 650 },
  }];
}
