// One trial: what was trained, by whom, how often it was tried, and its curves.

import { get } from "./api.js";
import { drawCurves, panels, seriesOf } from "./curves.js";
import { h } from "./dom.js";
import { count, duration, moment, number, origin, setting, words } from "./format.js";
import { token } from "./palette.js";
import { age, code, crumbs, facts, notice, status } from "./parts.js";

const PREFIX = "trial";
const LIVE = new Set(["queued", "leased"]);

export function trialPage({ id, refresh }) {
  const view = { series: null, log: true, logRate: false };
  let study = null; // its id, once the trial has told
  const change = (choice) => {
    Object.assign(view, choice);
    refresh();
  };
  return {
    load: async () => load(id, (study ??= (await get(`/trials/${id}`)).study_id)),
    live: ({ trial }) => LIVE.has(trial.status),
    title: ({ trial, study }) => `Trial #${trial.number} of ${study.definition.name}`,
    render: (data) => render(data, view, change),
    draw: ({ curves }) => drawCurves(PREFIX, curves, { ...view, series: view.series ?? "train_loss" }, { look: () => ({ colour: token("--accent"), width: 2, layer: 0 }), momentum: true }),
  };
}

/** The study first: what changes while the rest is read is then a change since. */
async function load(id, studyId) {
  const study = await get(`/studies/${studyId}`);
  const [trial, curves] = await Promise.all([get(`/trials/${id}`), get(`/trials/${id}/curve?points=500`)]);
  return { trial, curves, study };
}

function render({ trial, study, curves }, view, change) {
  const available = seriesOf(curves);
  view.series ??= available.has("train_loss") ? "train_loss" : null;
  return [
    crumbs(["Studies", "#/"], [study.definition.name, `#/studies/${study.id}`]),
    h("div", { class: "page-head" }, h("h1", null, `Trial #${trial.number}`), status(trial.status)),
    notice(trial.status === "failed" ? "bad" : "note", trial.status === "failed" ? "Failed:" : "Why:", trial.reason),
    h("div", { class: "pair" }, configuration(trial, study), result(trial, study)),
    panels(PREFIX, { ...view, series: view.series ?? "train_loss" }, available, change),
    timeline(trial),
    h("details", { class: "card schedule-json" }, h("summary", null, h("h2", null, "Schedule as JSON")), code(JSON.stringify(trial.schedule, null, 2), "Copy the schedule")),
  ];
}

function configuration(trial) {
  return h("section", { class: "card", id: "configuration" }, h("h2", null, "Configuration"), facts([
    ["Schedule", trial.family], ...Object.entries(trial.params).map(([name, value]) => [words(name), setting(value)]),
    ["Seed", String(trial.seed)], ["Proposed by", origin(trial.origin)],
  ]));
}

function result(trial, study) {
  const done = trial.total_steps === null ? null : `${number(trial.steps_done)} of ${number(trial.total_steps)}`;
  const { metric } = study.definition.objective;
  const others = Object.entries(trial.metrics).filter(([name]) => name !== metric).sort(([a], [b]) => a.localeCompare(b));
  return h("section", { class: "card", id: "result" }, h("h2", null, "Result"), facts([
    [words(metric), h("b", null, number(trial.objective))], ...others.map(([name, value]) => [words(name), number(value)]),
    ["Updates", done], ["Engine", trial.engine], ["Device time", duration(trial.device_seconds)],
    ["Created", age(trial.created_at)], ["Ended", trial.finished_at ? age(trial.finished_at) : null],
  ]));
}

function timeline(trial) {
  return h("section", { class: "card", id: "attempts" }, h("h2", null, "Attempts"),
    trial.attempts.length ? h("ol", { class: "timeline" }, trial.attempts.map(attempt))
      : h("p", { class: "quiet" }, "No worker has taken this trial yet."),
    trial.attempts.length > 1 ? h("p", { class: "sub" }, `${count(trial.attempts.length, "attempt")}: a trial whose worker is lost is queued again.`) : null);
}

function attempt(one) {
  const seconds = (Date.parse(one.ended_at ?? new Date().toISOString()) - Date.parse(one.started_at)) / 1000;
  return h("li", { key: one.number, class: `attempt attempt-${one.outcome}` },
    h("div", { class: "name-line" }, h("b", null, `Attempt ${one.number}`), status(one.outcome), h("span", { class: "sub" }, `on ${one.worker}`)),
    h("div", { class: "sub" }, h("time", { datetime: one.started_at }, moment(one.started_at)), ` · ${one.ended_at ? "" : "for "}${duration(Math.max(0, seconds))}`),
    one.reason ? h("p", { class: "attempt-reason" }, one.reason) : null);
}
