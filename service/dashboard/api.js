// Reads the service's public JSON API, with ETags: an answer that has not changed is neither sent nor read again.

const PREFIX = "/api/v1";
const REMEMBERED = 64;
const TIMEOUT_MS = 15_000;
const known = new Map();

/** The service cannot be reached, or cannot answer; the page keeps what it has. */
export class Away extends Error {}

/** The service has answered that there is no such thing, or not yet; `problem` is its problem details. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
}

/** The JSON at `path`. The very same object as last time when nothing has changed, in `wait` seconds if need be. */
export async function get(path, { wait = 0, signal = null } = {}) {
  const before = known.get(path);
  const headers = before ? { "If-None-Match": before.tag } : {};
  const response = await ask(wait ? `${path}?wait=${wait}` : path, { headers, signal, patience: TIMEOUT_MS + 1_000 * wait });
  if (response.status === 304 && before) return before.data;
  if (!response.ok) throw await refusal(response);
  const data = await body(response);
  remember(path, response.headers.get("ETag"), data);
  return data;
}

/** Exchanges an access token for a session cookie, which no script can read. */
export async function signIn(token) {
  const headers = { "Content-Type": "application/json" };
  const response = await ask("/session", { method: "POST", headers, body: JSON.stringify({ token }) });
  if (!response.ok) throw await refusal(response);
}

/** Forgets the session, and all that was read in it. */
export async function signOut() {
  known.clear();
  await ask("/session", { method: "DELETE" });
}

async function ask(path, { headers, signal = null, patience = TIMEOUT_MS, ...given }) {
  const late = AbortSignal.timeout(patience);
  try {
    return await fetch(PREFIX + path, {
      ...given,
      headers: { Accept: "application/json", ...headers },
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
  } catch (error) {
    throw new Away(error.name === "TimeoutError" ? "it did not answer in time" : "it cannot be reached", { cause: error });
  }
}

async function body(response) {
  try {
    return await response.json();
  } catch (error) {
    throw new Away("its answer broke off", { cause: error });
  }
}

async function refusal(response) {
  if (response.status >= 500 || response.status === 429) return new Away(`it answered ${response.status}`);
  try {
    return new Refused(await response.json());
  } catch {
    return new Away(`it answered ${response.status}`);
  }
}

function remember(path, tag, data) {
  known.delete(path);
  if (tag === null) return;
  known.set(path, { tag, data });
  if (known.size > REMEMBERED) known.delete(known.keys().next().value);
}
