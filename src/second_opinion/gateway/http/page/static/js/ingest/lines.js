// Files with a document a line: sent in slices, so that neither side holds the whole, with a receipt for each line.
import { problemOf, send as request } from "../api.js";
import { change, entryFor } from "./entries.js";

const SHOWN_REJECTIONS = 5;
const SLICE_LINES = 500;
const SLICE_CHARACTERS = 2_000_000;
const JSON_LINES = "application/x-ndjson";

export async function sendLines(file, collection) {
  const entry = entryFor(file, collection);
  const counted = { accepted: 0, rejected: 0, first: [] };
  try {
    change(entry, { state: "sending" });
    for await (const slice of slices(linesOf(file.stream()))) {
      await sendSlice(slice, collection, counted);
      change(entry, { note: words(counted) });
    }
    const error = counted.rejected ? { message: counted.first.join("; ") } : null;
    change(entry, { state: counted.accepted ? "sent" : "failed", note: words(counted), error });
  } catch (problem) {
    change(entry, { state: "failed", note: words(counted), error: { message: problem.detail || problem.message, hint: problem.hint } });
  }
}

const words = ({ accepted, rejected }) => `${accepted} accepted${rejected ? `, ${rejected} rejected` : ""}`;

async function sendSlice(slice, collection, counted) {
  const body = slice.map(({ text }) => `${withCollection(text, collection)}\n`).join("");
  const response = await request("/v1/documents/batch", { method: "POST", body, type: JSON_LINES, headers: { Accept: JSON_LINES }, stream: true });
  if (!response.ok) throw await problemOf(response);
  let place = 0;
  for await (const { text } of linesOf(response.body)) {
    const { error } = JSON.parse(text);
    if (error) reject(counted, slice[place].number, error);
    else counted.accepted += 1;
    place += 1;
  }
}

// The gateway counts the lines of what it was sent; people count those of their file.
function reject(counted, number, error) {
  counted.rejected += 1;
  if (counted.first.length < SHOWN_REJECTIONS) counted.first.push(`line ${number}: ${error.message.replace(/^line \d+: /, "")}`);
}

// Everything goes where it was dropped. A line that is no JSON is sent as it is: its receipt says why.
function withCollection(text, collection) {
  try {
    return JSON.stringify({ ...JSON.parse(text), collection });
  } catch {
    return text;
  }
}

async function* slices(lines) {
  let slice = [];
  let characters = 0;
  for await (const line of lines) {
    slice.push(line);
    characters += line.text.length;
    if (slice.length < SLICE_LINES && characters < SLICE_CHARACTERS) continue;
    yield slice;
    [slice, characters] = [[], 0];
  }
  if (slice.length) yield slice;
}

// Lines that are not blank, with their numbers from 1.
async function* linesOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let number = 0;
  for (let ended = false; !ended; ) {
    const { value, done } = await reader.read();
    ended = done;
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : lines.pop();
    for (const text of lines) {
      number += 1;
      if (text.trim()) yield { number, text: text.trim() };
    }
  }
}
