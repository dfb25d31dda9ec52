// The winning configuration: what it is, how its schedule looks, what it reached, and the code to use it.

import { schedule, swatch } from "./drawing.js";
import { h } from "./dom.js";
import { interval, number, setting, words } from "./format.js";
import { code, settings } from "./parts.js";

const METRICS = ["val_loss", "val_accuracy", "test_loss", "test_accuracy", "train_loss"];

/** `rate` is the rate curve of one of its trials, when it is among those at hand. */
export function winner(best, study, { style, rate, entries }) {
  const { entry } = best;
  const look = style(entry.family);
  const last = rate?.lr.at(-1);
  return h("section", { class: "card winner", id: "winner" },
    h("div", { class: "card-head" }, h("h2", null, study.status === "running" ? "Best so far" : "Winner"),
      h("p", { class: "sub" }, `trained for ${number(best.total_steps)} updates, ${number(best.steps_per_epoch)} per epoch`)),
    h("div", { class: "winner-body" },
      h("div", null,
        h("p", { class: "winner-name" }, swatch(look), entry.family),
        h("p", { class: "winner-value" }, interval(entry, entries), h("span", { class: "sub" }, ` ${best.objective.metric}`)),
        h("p", null, settings(entry.params, setting)),
        rate ? h("figure", { class: "drawing" }, schedule(rate, look.colour),
          h("figcaption", { class: "sub" }, `learning rate: peak ${number(Math.max(...rate.lr), 3)}, last ${number(last, 3)}`)) : null,
        metrics(best.metrics)),
      h("div", { class: "snippet" }, h("h3", null, "Use it in PyTorch"), code(best.snippet, "Copy the PyTorch code"))));
}

function metrics(values) {
  const named = [...METRICS.filter((name) => name in values), ...Object.keys(values).filter((name) => !METRICS.includes(name)).sort()];
  if (!named.length) return null;
  return h("dl", { class: "metrics" }, named.map((name) => h("div", null, h("dt", null, words(name)), h("dd", null, number(values[name])))));
}
