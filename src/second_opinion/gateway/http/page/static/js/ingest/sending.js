// Files on their way to the gateway: read, sent, accepted.
import { call, isAborted } from "../api.js";
import { change, entryFor } from "./entries.js";
import { follow } from "./following.js";

const AT_ONCE = 3;
const TRIES = 20;
const TEXT_TYPES = { txt: "text/plain", text: "text/plain", md: "text/markdown", markdown: "text/markdown" };
const OTHER_TYPES = { pdf: "application/pdf", html: "text/html", htm: "text/html", docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document" };
const TITLE_LIMIT = 200;
const FIRST_LINE_LIMIT = 100;

const suffix = (name) => name.split(".").at(-1).toLowerCase();
export const holdsLines = (name) => ["jsonl", "ndjson"].includes(suffix(name));

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1_000));

// Sends documents, a few at once; `body` of each is read only when its turn comes.
export async function send(documents, collection) {
  const line = documents.map((one) => entryFor(one, collection));
  const work = async () => {
    for (let entry = line.shift(); entry; entry = line.shift()) await bring(entry);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

// From files that were dropped: text where it is text, bytes where the workers have to find it.
export const fromFiles = (list) =>
  [...list].map((file) => ({ name: file.name, size: file.size, body: () => bodyOf(file) }));

async function bodyOf(file) {
  const id = file.name;
  const bytes = new Uint8Array(await file.arrayBuffer());
  const type = TEXT_TYPES[suffix(file.name)];
  const text = type ? decoded(bytes) : null;
  if (text !== null) return { id, title: titleOf(text, type, id), text, media_type: type };
  return { id, title: stemOf(id), content: base64(bytes), media_type: type ?? OTHER_TYPES[suffix(file.name)] ?? (file.type || "application/octet-stream") };
}

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

// Markdown's first heading, a plain text's short first line, else the file's name.
export function titleOf(text, type, name) {
  const lines = text.split(/\r?\n/, 200).map((line) => line.trim());
  const heading = () => lines.map((line) => /^#{1,6}\s+(.+?)\s*#*$/.exec(line)?.[1]).find(Boolean);
  const first = () => [lines.find(Boolean)].find((line) => line && line.length <= FIRST_LINE_LIMIT);
  return ((type === "text/markdown" ? heading() : first()) ?? stemOf(name)).slice(0, TITLE_LIMIT);
}

const stemOf = (name) => name.split("/").at(-1).replace(/\.[^.]+$/, "") || name;

function base64(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  return btoa(parts.join(""));
}

async function bring(entry) {
  try {
    change(entry, { state: "sending", error: null });
    const body = { ...(await entry.body()), collection: entry.collection };
    const receipt = await patiently(entry, () => call("/v1/documents", { method: "POST", body }));
    if (receipt.error) throw receipt.error;
    change(entry, { id: body.id, state: "accepted", note: receipt.outcome === "unchanged" ? "unchanged" : "" });
    follow(entry);
  } catch (problem) {
    change(entry, { state: "failed", waits: null, error: { message: problem.detail || problem.message, hint: problem.hint } });
  }
}

// What may pass is tried again when the gateway says, and said meanwhile.
async function patiently(entry, attempt) {
  for (let tries = 1; ; tries += 1) {
    try {
      const answer = await attempt();
      if (entry.waits) change(entry, { waits: null });
      return answer;
    } catch (problem) {
      if (!problem.transient || tries === TRIES || isAborted(problem)) throw problem;
      const seconds = Math.min(problem.retry_after ?? 2 ** Math.min(tries, 5), 60);
      change(entry, { waits: `${problem.title || problem.message}: again in ${Math.ceil(seconds)} s` });
      await pause(seconds);
    }
  }
}
