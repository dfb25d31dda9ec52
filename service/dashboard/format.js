// Numbers, durations and settings as people read them.

const MINUS = "\u2212";

/** Four significant digits; powers of ten where plain digits would mislead. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return value.toExponential(Math.min(digits - 1, 2)).replace(/\.?0+e/, "e").replace("-", MINUS).replace("e-", `e${MINUS}`);
  if (Number.isInteger(value)) return value.toLocaleString("en").replace("-", MINUS);
  const text = size >= 1000 ? value.toFixed(0) : value.toPrecision(digits);
  return text.replace("-", MINUS);
}

/** A setting, without trailing zeros: 0.1, 3e-4, 5%, true. */
export function setting(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return Number(value.toPrecision(3)).toExponential().replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** Mean and standard deviation of an entry, to as many decimals as the deviations of `entries` deserve (two digits). */
export function interval({ mean, std }, entries) {
  if (mean === null) return "–";
  const decimals = decimalsFor(entries);
  if (decimals === null || Math.abs(mean) >= 1e6) return std === null ? number(mean) : `${number(mean)} ± ${number(std, 2)}`;
  return (std === null ? mean.toFixed(decimals) : `${mean.toFixed(decimals)} ± ${std.toFixed(decimals)}`).replace("-", MINUS);
}

function decimalsFor(entries) {
  const spreads = entries.map((entry) => entry.std).filter((std) => std > 0).sort((a, b) => a - b);
  if (!spreads.length) return null;
  return Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(spreads[Math.floor(spreads.length / 2)]))));
}

/** A duration in seconds: 57 ms, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds > 0 && seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`; // a lane's share of a short array
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes, rest] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  if (minutes) return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
  return `${rest} s`;
}

/** How long ago, roughly. */
export function ago(iso, now = Date.now()) {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds / 5) * 5} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function clock(iso) {
  return new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function moment(iso) {
  return new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
}

export function count(amount, noun, plural = `${noun}s`) {
  return `${amount.toLocaleString("en")} ${amount === 1 ? noun : plural}`;
}

const METHODS = { grid: "grid", tpe: "TPE", range_test: "range test" };
const OPTIMIZERS = { sgd: "SGD", adam: "Adam", adamw: "AdamW", rmsprop: "RMSprop" };
const USUAL = { layer_decay: 1, beta2: 0.999, alpha: 0.99, eps: 1e-8 };
const ORIGINS = { grid: "grid", startup: "start-up", tpe: "TPE", "quasi-random": "quasi-random", range_test: "range test" };

export const method = (search) => METHODS[search.method] ?? search.method;
export const origin = (name) => ORIGINS[name] ?? name;
export const task = ({ dataset, model }) => `${dataset} / ${model}`;
export const budget = ({ epochs, steps }) => (epochs === null ? count(steps, "step") : count(epochs, "epoch"));

export function search(definition) {
  const { search: how } = definition;
  const repeats = how.seeds > 1 ? `, ${how.seeds} seeds` : "";
  if (how.method === "tpe") return `TPE, ${count(how.trials, "trial")}`;
  if (how.method === "range_test") return `range test ${setting(how.low)} to ${setting(how.high)}${repeats}`;
  return method(how) + repeats;
}

/** What a study is after; a range test optimises nothing. */
export function aim({ search: how, objective: { metric, direction } }) {
  return how.method === "range_test" ? "find the range of rates" : `${direction} ${metric}`;
}

export function optimizer(settings) {
  const parts = Object.entries(settings).filter(([name, value]) => name !== "name" && value !== 0 && value !== false && value !== USUAL[name]);
  const shown = parts.map(([name, value]) => (value === true ? name : `${words(name)} ${setting(value)}`));
  return [OPTIMIZERS[settings.name] ?? settings.name, ...shown].join(", ");
}

export const words = (name) => name.replaceAll("_", " ");
