// Follows documents until queries see them, all by one question: a browser has six connections to a gateway.
import { call } from "../api.js";
import { change } from "./entries.js";

const AT_ONCE = 500;
const PAUSE = 0.6;
const LONGEST_PAUSE = 10;
const FOLLOWED_SECONDS = 900;

const pending = new Map();
let looking = false;

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1_000));
const nameOf = (collection, id) => `${collection}\n${id}`;

export function follow(entry) {
  pending.set(nameOf(entry.collection, entry.id), { entry, until: Date.now() + FOLLOWED_SECONDS * 1_000 });
  if (!looking) look();
}

async function look() {
  looking = true;
  for (let wait = PAUSE; pending.size; ) {
    await pause(wait);
    try {
      await ask([...pending.values()].slice(0, AT_ONCE));
      wait = PAUSE + pending.size / AT_ONCE;
    } catch (problem) {
      wait = Math.min(problem.retry_after ?? wait * 2, LONGEST_PAUSE);
      if (!problem.transient) giveUp(problem);
    }
  }
  looking = false;
}

async function ask(followed) {
  const names = followed.map(({ entry }) => ({ collection: entry.collection, id: entry.id }));
  const { documents } = await call("/v1/documents/statuses", { method: "POST", body: { documents: names } });
  for (const status of documents) {
    const name = nameOf(status.collection, status.document_id);
    const known = pending.get(name);
    if (known && tell(known.entry, status)) pending.delete(name);
  }
  for (const [name, { entry, until }] of pending) {
    if (Date.now() < until) continue;
    change(entry, { note: "still waiting for an index worker" });
    pending.delete(name);
  }
}

// Says where a document is; true when there is nothing more to come.
function tell(entry, status) {
  if (status.state === "failed") change(entry, { state: "failed", error: status.error ?? { message: "It failed." } });
  else if (status.searchable && status.current) change(entry, { state: "searchable", chunks: status.chunks, error: null });
  else {
    change(entry, { state: status.attempts ? "indexing" : "accepted", error: status.error });
    return false;
  }
  return true;
}

// A key that may send documents may not be allowed to look at them: what was accepted is accepted.
function giveUp(problem) {
  for (const { entry } of pending.values()) {
    change(entry, { state: "sent", note: problem.status === 403 ? "this key may not look at what becomes of it" : problem.message });
  }
  pending.clear();
}
