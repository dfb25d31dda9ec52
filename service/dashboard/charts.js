// Draws charts with plotly, which is loaded when the first chart is wanted.

import { number } from "./format.js";
import { token } from "./palette.js";

const SOURCE = "/static/plotly.min.js";
const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };
let loading = null;

/** Draws `traces` into the element of this id; `axes` are plotly's `xaxis`, `yaxis`, `shapes`, ... over the theme. */
export async function draw(id, traces, { x, y, y2 = null, shapes = [], annotations = [], label, revision }) {
  const plotly = await library();
  const node = document.getElementById(id);
  if (!node) return; // the reader has gone elsewhere meanwhile
  const layout = {
    ...frame(), shapes, annotations, uirevision: revision, datarevision: Date.now(),
    xaxis: axis(x), yaxis: axis(y), margin: { l: 58, r: y2 ? 52 : 12, t: 8, b: 42 },
  };
  if (y2) layout.yaxis2 = { ...axis(y2), overlaying: "y", side: "right", showgrid: false };
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", label);
  await plotly.react(node, traces, layout, CONFIG);
}

/** Frees the chart in this element, if there is one. */
export function erase(node) {
  if (node.classList.contains("js-plotly-plot")) globalThis.Plotly.purge(node);
}

/** A line of a chart. `name` is shown on hovering, as text. */
export function line({ x, y, name, colour, dash = "solid", width = 1.6, opacity = 1, axis: yaxis = "y", hover = true, of = "step" }) {
  return {
    type: "scatter", mode: x.length > 1 ? "lines" : "markers", x, y, yaxis, opacity, connectgaps: true,
    line: { color: colour, width, dash }, marker: { color: colour, size: 6 },
    hoverinfo: hover ? "text" : "skip",
    text: hover ? x.map((at, index) => `${escape(name)}<br>${of} ${number(at)}: ${number(y[index])}`) : undefined,
  };
}

// Plotly reads a few tags in its texts; what comes from users is not to be read so.
export function escape(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = SOURCE;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => {
      loading = null; // the next drawing tries again
      script.remove();
      reject(new Error("the plotting library could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

function frame() {
  return {
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: false, autosize: true,
    font: { family: token("--font"), size: 12, color: token("--soft") },
    hovermode: "closest", hoverdistance: 24, dragmode: "zoom",
    hoverlabel: {
      bgcolor: token("--card"), bordercolor: token("--line-strong"), align: "left",
      font: { family: token("--font"), size: 12, color: token("--text") },
    },
  };
}

/** Labels at 1, 2 and 5 of each decade where `values` span few of them; plotly's own choice crowds them. */
export function logTicks(values) {
  const positive = values.filter((value) => value > 0);
  const [low, high] = positive.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, 0]);
  return high / low < 2000 ? "D2" : null;
}

function axis({ title, log = false, range = null, ...rest }) {
  return {
    title: { text: title, standoff: 8, font: { size: 12 } }, type: log ? "log" : "linear",
    gridcolor: token("--line"), linecolor: token("--line-strong"), zeroline: false, automargin: true,
    exponentformat: "e", nticks: 6, minorloglabels: "complete",
    ...(range ? { range, autorange: false } : { autorange: true }), ...rest,
  };
}
