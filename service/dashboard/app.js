// Which page is shown, and when it is brought up to date: by the address, by what the reader does, and by changes, which
// the service tells of where there is a study to wait for; other pages are asked for again and again.

import { Away, Refused, get, signOut } from "./api.js";
import { erase } from "./charts.js";
import { h, morph } from "./dom.js";
import { clock } from "./format.js";
import { onThemeChange } from "./palette.js";
import { empty } from "./parts.js";
import { signInForm } from "./sign_in.js";
import { studiesPage } from "./studies.js";
import { studyPage } from "./study.js";
import { trialPage } from "./trial.js";
import { workersPage } from "./workers.js";

const RUNNING_MS = 1_500;
const RESTING_MS = 10_000;
const WAIT_S = 25;
const ROUTES = [
  [/^\/?(?:studies\/?)?$/, studiesPage, "studies"],
  [/^\/studies\/([1-9][0-9]{0,17})$/, studyPage, "studies"],
  [/^\/trials\/([1-9][0-9]{0,17})$/, trialPage, "studies"],
  [/^\/workers\/?$/, workersPage, "workers"],
];

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const pulse = document.getElementById("pulse");
const leave = document.getElementById("leave");

let shown = null; // {page, data, at}: what the address asked for, what is known of it, and since when
let timer = null;
let waiting = new AbortController(); // of the wait for a change
let failures = 0;

/** The page of an address: {load, render, title, live, draw}; null when there is none of that name. */
function route(address) {
  const [path, query] = address.replace(/^#/, "").split("?");
  for (const [pattern, make, section] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return { section, ...make({ id: match[1], query: new URLSearchParams(query), refresh: paint, reload }) };
  }
  return null;
}

function open() {
  const page = route(location.hash || "#/");
  shown = { page, data: null, at: null };
  failures = 0;
  banner.hidden = true;
  for (const link of document.querySelectorAll("nav [data-route]")) {
    if (link.dataset.route === page?.section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  clear();
  rest();
  if (page) reload();
  else replace(empty("There is no such page", "The address does not name a page of this dashboard."), "Not found");
  scrollTo(0, 0);
}

function clear() {
  main.querySelectorAll(".js-plotly-plot").forEach(erase);
  main.replaceChildren(h("p", { class: "quiet", role: "status" }, "Loading…"));
}

function rest() {
  clearTimeout(timer);
  waiting.abort();
}

async function reload() {
  rest();
  const asked = shown;
  if (!asked.page || document.hidden) return;
  try {
    const data = await asked.page.load();
    if (asked !== shown) return;
    asked.data = data;
    asked.at = new Date();
    failures = 0;
    banner.hidden = true;
    await paint();
  } catch (error) {
    if (asked !== shown) return;
    failed(error);
  }
  if (asked === shown) next(pause());
}

function next(milliseconds) {
  rest();
  if (!document.hidden) timer = setTimeout(follow, milliseconds);
}

/** Waits until the page's study changes, whatever that may be; a page without one is loaded anew. */
async function follow() {
  const asked = shown;
  const study = failures ? null : asked.data?.study;
  const { signal } = (waiting = new AbortController());
  try {
    if (study && (await get(`/studies/${study.id}`, { wait: WAIT_S, signal })) === study) {
      asked.at = new Date();
      await paint(); // what is told as an age has grown
      if (!signal.aborted) next(RUNNING_MS); // a service with too many who wait answers at once
      return;
    }
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refused)) throw error; // loading will say what is wrong
  }
  if (!signal.aborted) reload();
}

function pause() {
  const { page, data } = shown;
  if (failures) return Math.min(RESTING_MS, RUNNING_MS * 2 ** (failures - 1));
  return data !== null && (data.study || page.live(data)) ? RUNNING_MS : RESTING_MS;
}

function failed(error) {
  if (error instanceof Refused && error.problem.status === 401) {
    leave.hidden = true;
    replace(signInForm(welcome), "Sign in");
    return;
  }
  if (error instanceof Refused) {
    replace(empty(error.problem.status === 404 ? "Not found" : "The service refused this", error.message), "Not found");
    return;
  }
  failures += 1;
  const what = error instanceof Away ? `The service is away: ${error.message}.` : `This page failed: ${error.message}.`;
  const since = shown.at ? ` What you see is from ${clock(shown.at.toISOString())}.` : "";
  banner.textContent = `${what}${since} Trying again.`;
  banner.hidden = false;
  pulse.textContent = "";
  if (!(error instanceof Away)) console.error(error);
}

/** Brings the page up to date with what is known. */
async function paint() {
  const { page, data } = shown;
  if (data === null) return;
  replace(page.render(data), page.title(data));
  pulse.textContent = page.live(data) ? "live" : "";
  try {
    await page.draw?.(data);
  } catch (error) {
    failed(error);
  }
}

function replace(content, title) {
  document.title = `${title} · Switchback`;
  const first = main.querySelector("h1") === null;
  morph(main, h("main", { id: "main", tabindex: "-1" }, content));
  if (first && document.activeElement === document.body && location.hash) main.focus({ preventScroll: true });
}

/** After signing in, and at the start: whether there is a session to leave. */
async function welcome() {
  open();
  try {
    const who = await get("/session");
    leave.hidden = !who.signed_in;
    leave.title = who.name;
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Away)) throw error;
  }
}

leave.addEventListener("click", async () => {
  await signOut();
  open();
});
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => (document.hidden ? rest() : reload()));
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address belongs to the pages
  main.focus();
});
onThemeChange(paint);
welcome();
