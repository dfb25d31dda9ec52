// One study: where it stands, its winner, the curves of its trials, its leaderboard.

import { Refused, get } from "./api.js";
import { drawCurves, panels, seriesOf } from "./curves.js";
import { h } from "./dom.js";
import { aim, budget, duration, optimizer, search, task } from "./format.js";
import { leaderboard } from "./leaderboard.js";
import { families, familyNames } from "./palette.js";
import { age, crumbs, facts, legend, notice, progressBar, progressText, status } from "./parts.js";
import { drawRange, rangePanel } from "./range_test.js";
import { trialList } from "./trial_list.js";
import { winner } from "./winner.js";

const ROWS = 50;
const PREFIX = "study";

export function studyPage({ id, refresh, reload }) {
  const view = { series: null, log: true, logRate: false, rows: ROWS };
  const picked = new Set();
  const trials = trialList(id, reload);
  const change = (choice) => {
    Object.assign(view, choice);
    refresh();
  };
  const pick = (config) => {
    if (config === null) picked.clear();
    else if (!picked.delete(config)) picked.add(config);
    refresh();
    reload(); // the curves of this row may not be among those at hand
  };
  const more = () => {
    view.rows = Math.min(1000, view.rows * 4);
    reload();
  };
  return {
    load: () => load(id, view.rows, picked, trials),
    live: ({ study }) => !study.finished_at,
    title: ({ study }) => study.definition.name,
    render: (data) => [header(data.study), ...body(data, { view, picked, pick, more, change }), trials.render(data.trials)],
    draw: (data) => paint(data, view, picked),
  };
}

async function load(id, rows, picked, trials) {
  const study = await get(`/studies/${id}`);
  const listed = trials.load();
  if (study.definition.search.method === "range_test") {
    return { study, range: await get(`/studies/${id}/range-test`), trials: await listed };
  }
  const [board, curves, best] = await Promise.all([
    get(`/studies/${id}/leaderboard?limit=${rows}`), get(`/studies/${id}/curves`),
    study.best && study.best.mean !== null ? get(`/studies/${id}/best`).catch(unlessRefused) : null,
  ]);
  return { study, board, best, curves: await withPicked(id, curves, board, picked), trials: await listed };
}

function unlessRefused(error) {
  if (error instanceof Refused) return null; // no result after all: the leader changed meanwhile
  throw error;
}

async function withPicked(id, curves, board, picked) {
  const have = new Set(curves.curves.map((curve) => curve.trial_id));
  const wanted = board.items.filter((entry) => picked.has(entry.config)).flatMap((entry) => entry.trial_ids.slice(0, 5));
  const missing = wanted.filter((trial) => !have.has(trial)).slice(0, 50);
  if (!missing.length) return curves;
  const extra = await get(`/studies/${id}/curves?trials=${missing.join(",")}`);
  return { ...curves, curves: [...curves.curves, ...extra.curves], rates: [...curves.rates, ...extra.rates] };
}

function header(study) {
  const { definition: asked, progress } = study;
  return h("div", { class: "study-head", "data-status": study.status },
    crumbs(["Studies", "#/"]),
    h("div", { class: "page-head" }, h("h1", null, asked.name), status(study.status)),
    notice("wait", "Waiting:", study.waiting),
    notice(study.status === "failed" ? "bad" : "note", study.status === "failed" ? "Failed:" : "Ended:", study.reason),
    h("div", { class: "card head-card" },
      h("div", { class: "progress-line" }, progressBar(progress),
        h("p", { class: "sub" }, h("span", { id: "progress" }, progressText(progress)), ` · ${legend(progress)}`)),
      facts([
        ["Task", task(asked.task)], ["Optimizer", optimizer(asked.task.optimizer)], ["Batch size", String(asked.task.batch_size)],
        ["Budget", `${budget(asked.budget)} per trial`], ["Search", search(asked)], ["Objective", aim(asked)],
        ["Device time", duration(study.device_seconds)], ["Submitted", age(study.created_at)],
        ["Ended", study.finished_at ? age(study.finished_at) : null],
      ])));
}

function body(data, { view, picked, pick, more, change }) {
  if (data.range) return [rangePanel(data.range)];
  const { study, board, best, curves } = data;
  const style = families(familyNames(study.definition, board.items, curves.curves));
  const available = seriesOf(curves);
  view.series ??= available.size ? firstSeries(available) : null;
  const rate = best && (curves.rates.find((one) => one.trial_id === best.trial_id) ?? curves.rates.find((one) => best.entry.trial_ids.includes(one.trial_id)));
  return [
    best ? winner(best, study, { style, rate, entries: board.items }) : null,
    panels(PREFIX, { ...view, series: view.series ?? "train_loss" }, available, change),
    leaderboard(board.items, study.definition, { style, picked, pick, limit: view.rows, more }),
  ];
}

const firstSeries = (available) => ["val_loss", "train_loss", "val_accuracy"].find((name) => available.has(name)) ?? null;

async function paint(data, view, picked) {
  if (data.range) {
    await drawRange(data.range);
    return;
  }
  const { study, board, curves } = data;
  const look = looks(curves, board.items, picked, families(familyNames(study.definition, board.items, curves.curves)));
  const useless = new Set(board.items.filter((entry) => entry.mean === null && !picked.has(entry.config)).flatMap((entry) => entry.trial_ids));
  await drawCurves(PREFIX, curves, { ...view, series: view.series ?? "train_loss" }, { look, usable: (trial) => !useless.has(trial) });
}

/** How each trial is drawn: in its family's colour, fainter down the ranks; the highlighted ones stand out. */
function looks(curves, entries, picked, style) {
  const rank = new Map(entries.flatMap((entry) => entry.trial_ids.map((trial) => [trial, entry])));
  const family = new Map(curves.curves.map((curve) => [curve.trial_id, curve.family]));
  const shown = curves.curves.length;
  return (trial) => {
    const entry = rank.get(trial);
    const { colour, dash } = style(family.get(trial) ?? entry?.family);
    const place = Math.min(1, ((entry?.rank ?? shown) - 1) / Math.max(1, shown - 1));
    if (!picked.size) return { colour, dash, width: entry?.rank === 1 ? 2.8 : 1.6, opacity: 1 - 0.55 * place, layer: -place };
    return entry && picked.has(entry.config) ? { colour, dash, width: 3, opacity: 1, layer: 1 } : { colour, dash, width: 1.1, opacity: 0.16, layer: -1 };
  };
}
