// Loss and rate curves of some trials: the same trials, in the same colours, in both charts.

import { draw, line, logTicks } from "./charts.js";
import { h } from "./dom.js";
import { token } from "./palette.js";

export const SERIES = { train_loss: "Training loss", val_loss: "Validation loss", val_accuracy: "Validation accuracy" };

/** Two panels side by side with their switches. `view` is {series, log, logRate}; `change` receives what was switched. */
export function panels(prefix, view, available, change) {
  const names = Object.keys(SERIES).filter((name) => available.has(name));
  const choices = (names.length ? names : ["train_loss", "val_loss"]).map((name) => ({
    name, text: SERIES[name].replace("Training", "Train").replace("Validation", "Val"),
  }));
  return h("div", { class: "pair" },
    h("section", { class: "card chart-card" },
      h("div", { class: "card-head" }, h("h2", null, "Curves"), h("div", { class: "switches" },
        group("Metric", choices, view.series, (series) => change({ series })),
        toggle("log", "Logarithmic metric axis", view.log, () => change({ log: !view.log })))),
      h("div", { id: `${prefix}-metric`, class: "chart", "data-own": true })),
    h("section", { class: "card chart-card" },
      h("div", { class: "card-head" }, h("h2", null, "Learning rate"), h("div", { class: "switches" },
        toggle("log", "Logarithmic rate axis", view.logRate, () => change({ logRate: !view.logRate })))),
      h("div", { id: `${prefix}-rate`, class: "chart", "data-own": true })));
}

/** The metrics that these curves hold. */
export function seriesOf(data) {
  return new Set(data.curves.flatMap((curve) => Object.keys(curve.values)));
}

/** Draws both panels. `look(trial)` gives colour, dash, width, opacity and the layer of a trial; `momentum` adds its axis.
    `usable(trial)`: whether its rate must fit the linear axis; one that diverged at 1e9 would flatten all others. */
export async function drawCurves(prefix, data, view, { look, momentum = false, usable = () => true }) {
  const order = (list) => [...list].sort((a, b) => look(a.trial_id).layer - look(b.trial_id).layer);
  const label = new Map(data.curves.map((curve) => [curve.trial_id, `#${curve.number} ${curve.family}`]));
  const metrics = order(data.curves).map((curve) => metricLine(curve, view.series, look(curve.trial_id))).filter((one) => one.x.length);
  const rates = order(data.rates).map((rate) => line({
    x: rate.steps, y: rate.lr, name: label.get(rate.trial_id) ?? "rate", ...look(rate.trial_id),
  }));
  const driven = momentum ? data.rates.filter((rate) => rate.momentum) : [];
  const moments = driven.map((rate) => line({
    x: rate.steps, y: rate.momentum, name: "momentum", colour: token("--soft"), dash: "dot", width: 1.4, axis: "y2",
  }));
  const reach = [0, Math.max(1, ...data.rates.flatMap((rate) => rate.steps.at(-1) ?? 0), ...data.curves.flatMap((curve) => curve.steps.at(-1) ?? 0))];
  const peak = Math.max(0, ...data.rates.filter((rate) => usable(rate.trial_id)).map((rate) => Math.max(...rate.lr)));
  const heights = view.logRate || !peak ? null : [0, 1.06 * peak];
  const x = { title: "updates", range: reach };
  const title = SERIES[view.series] ?? view.series;
  await Promise.all([
    draw(`${prefix}-metric`, metrics, {
      x: { ...x, visible: metrics.length > 0 }, y: { title: title.toLowerCase(), log: view.log, visible: metrics.length > 0, dtick: view.log ? ticksOf(metrics) : null }, revision: `${view.series}${view.log}`,
      label: `${title} of ${metrics.length} trials`,
      annotations: metrics.length ? [] : [note(`no ${title.toLowerCase()} reported yet`)],
    }),
    draw(`${prefix}-rate`, [...rates, ...moments], {
      x: { ...x, visible: rates.length > 0 }, y: { title: "learning rate", log: view.logRate, range: heights, visible: rates.length > 0, dtick: view.logRate ? ticksOf(rates) : null }, revision: String(view.logRate),
      y2: moments.length ? { title: "momentum (dotted)", range: [0, 1.02] } : null,
      label: `Learning rate of ${rates.length} trials`,
      annotations: rates.length ? [] : [note("no trial has started yet")],
    }),
  ]);
}

const ticksOf = (lines) => logTicks(lines.flatMap((one) => one.y));

function metricLine(curve, series, style) {
  const values = curve.values[series] ?? [];
  const at = values.map((value, index) => index).filter((index) => values[index] !== null);
  return line({
    x: at.map((index) => curve.steps[index]), y: at.map((index) => values[index]), name: `#${curve.number} ${curve.family}`, ...style,
  });
}

function note(text) {
  return { text, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5, font: { color: token("--quiet"), size: 13 } };
}

function group(label, choices, chosen, pick) {
  return h("div", { class: "segmented", role: "group", "aria-label": label }, choices.map(({ name, text }) =>
    h("button", { type: "button", "aria-pressed": String(name === chosen), "data-series": name, onclick: () => pick(name) }, text)));
}

function toggle(text, label, on, flip) {
  return h("button", { type: "button", class: "toggle", "aria-pressed": String(on), "aria-label": label, title: label, onclick: flip }, text);
}
