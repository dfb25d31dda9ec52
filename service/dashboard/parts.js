// The parts that several pages share: status, progress, lists of facts, empty states, code to copy.

import { copy, h } from "./dom.js";
import { ago, count, moment } from "./format.js";

const STATUS_WORDS = { leased: "running", queued: "queued", active: "running" };
const SEGMENTS = ["complete", "diverged", "pruned", "failed", "cancelled", "leased"];
const SEGMENT_WORDS = { leased: "running", complete: "complete" };

export function status(name) {
  return h("span", { class: `status status-${name}` }, STATUS_WORDS[name] ?? name);
}

/** How many trials have ended, and how many there will be, as far as is known. */
export function totals(progress) {
  const ended = progress.complete + progress.diverged + progress.pruned + progress.failed + progress.cancelled;
  const made = ended + progress.leased + progress.queued;
  return { ended, all: Math.max(progress.planned ?? 0, made), planned: progress.planned };
}

export function progressBar(progress) {
  const { ended, all } = totals(progress);
  const parts = SEGMENTS.filter((name) => progress[name] > 0);
  const label = `${ended} of ${all} trials done`;
  return h("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": all, "aria-valuenow": ended, "aria-label": label, title: legend(progress) },
    parts.map((name) => h("span", { class: `bar-part part-${name}`, style: { width: `${(100 * progress[name]) / all}%` } })));
}

export function legend(progress) {
  const parts = [...SEGMENTS, "queued"].filter((name) => progress[name] > 0);
  return parts.map((name) => `${progress[name].toLocaleString("en")} ${SEGMENT_WORDS[name] ?? name}`).join(" · ") || "no trials yet";
}

export function progressText(progress) {
  const { ended, all } = totals(progress);
  return `${ended.toLocaleString("en")} of ${count(all, "trial")}`;
}

/** Pairs of a term and what it is; pairs whose value is null are left out. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined)
    .map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, value))));
}

export function age(iso) {
  return h("time", { datetime: iso, title: moment(iso) }, ago(iso));
}

/** An empty place that says what would fill it; `command` is what to type for it. */
export function empty(title, text, command = null) {
  return h("div", { class: "empty" }, h("h2", null, title), h("p", null, text), command ? code(command, "Copy the command") : null);
}

/** Code with a button that copies it. */
export function code(text, label) {
  return h("div", { class: "code" }, h("pre", { tabindex: "0" }, h("code", null, text)),
    h("button", { type: "button", class: "copy", "aria-label": label, "data-text": text, onclick: copyFrom }, "Copy"));
}

async function copyFrom(event) {
  const button = event.currentTarget;
  button.textContent = (await copy(button.dataset.text)) ? "Copied" : "Press Ctrl+C";
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
}

/** Why nothing moves, or why it ended. */
export function notice(kind, title, text) {
  return text === null ? null : h("p", { class: `notice notice-${kind}` }, h("strong", null, title), " ", text);
}

/** Parameters as `name value` in a row. */
export function settings(params, show) {
  return h("span", { class: "params" }, Object.entries(params).map(([name, value]) =>
    h("span", { class: "param" }, h("span", { class: "param-name" }, name), "\u00a0", show(value))));
}

export function crumbs(...links) {
  return h("nav", { class: "crumbs", "aria-label": "Where you are" }, links.map(([text, href], index) =>
    [index ? h("span", { "aria-hidden": "true" }, "/") : null, h("a", { href }, text)]));
}
