// Small drawings in SVG: a schedule's curve, an interval on a common scale, a progress bar.

import { s } from "./dom.js";
import { number } from "./format.js";

const WIDTH = 320;
const HEIGHT = 96;
const PAD = 4;

/** The rate over the updates as a filled curve, with its peak and end written. */
export function schedule({ steps, lr }, colour) {
  const last = Math.max(1, steps.at(-1) ?? 1);
  const peak = Math.max(...lr, Number.MIN_VALUE);
  const x = (step) => ((PAD + (WIDTH - 2 * PAD) * step / last)).toFixed(1);
  const y = (rate) => (HEIGHT - PAD - (HEIGHT - 2 * PAD) * rate / peak).toFixed(1);
  const points = steps.map((step, index) => `${x(step)},${y(lr[index])}`).join(" L");
  const base = HEIGHT - PAD;
  const label = `The learning rate over ${last} updates: at most ${number(peak, 3)}, ${number(lr.at(-1) ?? 0, 3)} at the end`;
  return s("svg", { class: "schedule", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("path", { d: `M${x(steps[0] ?? 0)},${base} L${points} L${x(last)},${base} Z`, fill: colour, "fill-opacity": 0.13 }),
    s("path", { d: `M${points}`, fill: "none", stroke: colour, "stroke-width": 2, "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke" }));
}

/** A short line as a key to the charts' colours. */
export function swatch({ colour, stroke }) {
  return s("svg", { class: "swatch", viewBox: "0 0 22 10", width: 22, height: 10, "aria-hidden": "true" },
    s("line", { x1: 1, y1: 5, x2: 21, y2: 5, stroke: colour, "stroke-width": 3, "stroke-linecap": stroke ? "butt" : "round", "stroke-dasharray": stroke }));
}

/** Mean and deviation on a scale that all rows share; what lies outside of it is shown as an arrow at its end. */
export function whisker(entry, scale, colour) {
  const clamp = (value) => Math.min(98, Math.max(2, 2 + 96 * (value - scale.low) / (scale.high - scale.low || 1)));
  const outside = entry.mean > scale.high || entry.mean < scale.low;
  const spread = entry.std ?? 0;
  return s("svg", { class: "whisker", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("line", { x1: 2, x2: 98, y1: 6, y2: 6, class: "whisker-rule" }),
    outside
      ? s("path", { d: entry.mean > scale.high ? "M92,2 L98,6 L92,10" : "M8,2 L2,6 L8,10", fill: "none", stroke: colour, "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" })
      : [
        s("line", { x1: clamp(entry.mean - spread), x2: clamp(entry.mean + spread), y1: 6, y2: 6, stroke: colour, "stroke-width": 3, "stroke-opacity": 0.45, "vector-effect": "non-scaling-stroke" }),
        s("line", { x1: clamp(entry.mean), x2: clamp(entry.mean), y1: 1.5, y2: 10.5, stroke: colour, "stroke-width": 2.5, "vector-effect": "non-scaling-stroke" }),
      ]);
}

/** The scale of the whiskers: all entries, but no wider than twice the better quarter, so that the leaders stay apart. */
export function scaleOf(entries) {
  const found = entries.filter((entry) => entry.mean !== null);
  const reach = (list) => list.flatMap((entry) => [entry.mean - (entry.std ?? 0), entry.mean + (entry.std ?? 0)]);
  const quarter = reach(found.slice(0, Math.max(2, Math.ceil(found.length / 4))));
  const all = reach(found);
  if (!all.length) return { low: 0, high: 1 };
  const [low, high] = [Math.min(...quarter), Math.max(...quarter)];
  const room = high - low;
  return { low: Math.max(Math.min(...all), low - room), high: Math.min(Math.max(...all), high + room) };
}
