// Follows a query job to its end: by its events, reconnecting when they are lost, and by asking when they do not come back.
import { Problem, call, part, problemOf, send } from "./api.js";

const TRIES = 3;
const PAUSE = 0.5;
const POLL_WAIT = 10;
const SILENCE_SECONDS = 45; // Three heartbeats.
export const ENDED = new Set(["done", "failed", "cancelled", "expired"]);

const pause = (seconds, signal) =>
  new Promise((done, stop) => {
    const timer = setTimeout(done, seconds * 1_000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      stop(signal.reason);
    });
  });

// Splits a stream of text into server-sent events: {event, data, id}; comments are heartbeats.
export class EventReader {
  #rest = "";

  feed(text) {
    this.#rest += text;
    const events = [];
    for (;;) {
      const end = /\r?\n\r?\n/.exec(this.#rest);
      if (!end) return events;
      const block = this.#rest.slice(0, end.index);
      this.#rest = this.#rest.slice(end.index + end[0].length);
      const event = { event: "message", data: [], id: null };
      for (const line of block.split(/\r?\n/)) {
        const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
        if (name === "data") event.data.push(value);
        else if (name === "event" || name === "id") event[name] = value;
      }
      if (event.data.length) events.push({ ...event, data: event.data.join("\n") });
    }
  }
}

// Returns the ended job. `onStage` hears {state, elapsed_ms, ...}; `onConnection` hears live, reconnecting or polling.
export async function follow(jobId, { onStage, onConnection, signal }) {
  const place = { last: null };
  for (let failed = 0; failed < TRIES; ) {
    try {
      const job = await listen(jobId, place, {
        signal,
        onStage: (stage) => {
          failed = 0;
          onConnection("live");
          onStage(stage);
        },
      });
      if (job) return job;
    } catch (problem) {
      if (signal?.aborted || isFinal(problem)) throw problem;
    }
    failed += 1;
    onConnection("reconnecting");
    await pause(PAUSE * 2 ** (failed - 1), signal);
  }
  return await poll(jobId, { onStage, onConnection, signal });
}

async function listen(jobId, place, { onStage, signal }) {
  const headers = place.last === null ? {} : { "Last-Event-ID": place.last };
  const response = await send(`/v1/queries/${part(jobId)}/events`, { stream: true, signal, headers });
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204) return await call(`/v1/queries/${part(jobId)}`, { signal });
  const reader = new EventReader();
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { value, done } = await heard(text);
      if (done) return null;
      for (const event of reader.feed(value)) {
        if (event.id !== null) place.last = event.id;
        const said = JSON.parse(event.data);
        if (event.event === "end") return said;
        if (event.event === "stage") onStage(said);
        if (event.event === "problem") throw new Problem(said);
      }
    }
  } finally {
    text.cancel().catch(() => {});
  }
}

// A stream without even a heartbeat is lost, whatever the connection says.
function heard(text) {
  let timer;
  const silence = new Promise((_, stop) => {
    timer = setTimeout(() => stop(new Error("the stream fell silent")), SILENCE_SECONDS * 1_000);
  });
  return Promise.race([text.read(), silence]).finally(() => clearTimeout(timer));
}

async function poll(jobId, { onStage, onConnection, signal }) {
  onConnection("polling");
  for (let failed = 0; ; ) {
    try {
      const job = await call(`/v1/queries/${part(jobId)}`, { wait: POLL_WAIT, signal });
      failed = 0;
      onConnection("polling");
      if (ENDED.has(job.state)) return job;
      onStage({ state: job.state });
    } catch (problem) {
      if (signal?.aborted || isFinal(problem)) throw problem;
      failed += 1;
      onConnection("reconnecting");
      if (failed > TRIES) throw problem;
    }
    await pause(Math.min(PAUSE * 2 ** failed, 5), signal);
  }
}

const isFinal = (problem) => problem instanceof Problem && problem.status >= 400 && problem.status < 500 && problem.status !== 429;
