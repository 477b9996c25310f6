// The files of this visit, in the order in which they came.
import { signal } from "../vendor.js";

const ENDED = ["searchable", "failed", "sent"];

// {key, name, size, collection, id, state, chunks, note, waits, error}
export const files = signal([]);
let serial = 0;

// A new entry for something on its way; `body` makes what is sent of it once its turn comes.
export function entryFor({ name, size, body }, collection) {
  const entry = { key: (serial += 1), name, size, collection, state: "waiting", body };
  files.value = [...files.value, entry];
  return entry;
}

export function change(entry, what) {
  Object.assign(entry, what);
  files.value = files.value.map((one) => (one.key === entry.key ? { ...one, ...what } : one));
}

export function forgetEnded() {
  files.value = files.value.filter((one) => !ENDED.includes(one.state));
}
