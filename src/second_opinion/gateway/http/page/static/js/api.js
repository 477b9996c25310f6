// The gateway's HTTP API: one call, one kind of error.
import { sessionKey } from "./storage.js";

const CALL_SECONDS = 30;
const WAIT_SLACK = 15;
const TRIES = 4;
const LONGEST_PAUSE = 3;

// A problem as the API tells it (application/problem+json), or the same for what never got there.
export class Problem extends Error {
  constructor(facts) {
    super(facts.detail || facts.title || "Something went wrong");
    Object.assign(this, { code: "", title: "", detail: "", hint: "", status: 0, transient: false, retry_after: null });
    Object.assign(this, facts);
  }
}

export const unreachable = () =>
  new Problem({
    code: "gateway_unreachable",
    title: "The gateway does not answer",
    detail: "This page could not reach the gateway it was loaded from.",
    hint: "See whether it runs: opinion status",
    transient: true,
    retry_after: 5,
  });

export const isAborted = (problem) => problem?.name === "AbortError";

// Sends a request and returns the response, whatever its status. `wait` asks the gateway to hold its answer for seconds.
export async function send(path, { method = "GET", body, type = "application/json", headers = {}, wait = 0, signal, stream = false } = {}) {
  const key = sessionKey();
  const limit = new AbortController();
  const timer = stream ? 0 : setTimeout(() => limit.abort(), (wait ? wait + WAIT_SLACK : CALL_SECONDS) * 1_000);
  const abort = () => limit.abort();
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  try {
    return await fetch(path, {
      method,
      headers: {
        Accept: stream ? "text/event-stream" : "application/json",
        ...(body === undefined ? {} : { "Content-Type": type }),
        ...(key ? { Authorization: `Bearer ${key}` } : {}),
        ...(wait ? { Prefer: `wait=${wait}` } : {}),
        ...headers,
      },
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      signal: limit.signal,
    });
  } catch (problem) {
    if (signal?.aborted) throw problem;
    throw unreachable();
  } finally {
    clearTimeout(timer);
    if (!stream) signal?.removeEventListener("abort", abort);
  }
}

// Sends a request and returns what it answers, or throws a Problem.
export async function call(path, options = {}) {
  const response = await send(path, options);
  if (response.status === 204 || response.status === 304) return null;
  if (!response.ok) throw await problemOf(response);
  try {
    return await response.json();
  } catch (problem) {
    if (options.signal?.aborted) throw problem;
    throw unreachable();
  }
}

// The same for what may be sent twice: asked again while what is in the way may pass soon.
export async function insist(path, options = {}) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call(path, options);
    } catch (problem) {
      if (!problem.transient || tries === TRIES || options.signal?.aborted) throw problem;
      await new Promise((done) => setTimeout(done, Math.min(problem.retry_after ?? 1, LONGEST_PAUSE) * 1_000));
    }
  }
}

export async function problemOf(response) {
  let facts = {};
  try {
    facts = await response.json();
  } catch {
    facts = { title: `The gateway answered ${response.status}` };
  }
  const after = Number(response.headers.get("Retry-After"));
  return new Problem({
    title: `The gateway answered ${response.status}`,
    ...facts,
    status: response.status,
    retry_after: facts.retry_after ?? (Number.isFinite(after) && after > 0 ? after : null),
    request_id: facts.request_id ?? response.headers.get("X-Request-Id"),
  });
}

// A name for one request, so that sending it twice does it once; randomUUID is not there on plain http.
export const onceKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export const part = encodeURIComponent;

export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
