// Files with a document a line: sent as one stream, with a receipt for each line read as it comes.
import { problemOf, send as request } from "../api.js";
import { change, entryFor } from "./sending.js";

const SHOWN_REJECTIONS = 5;

export async function sendLines(file, collection) {
  const entry = entryFor(file, collection);
  const counted = { accepted: 0, rejected: 0, first: [] };
  try {
    change(entry, { state: "sending" });
    const body = withCollection(await file.text(), collection);
    const response = await request("/v1/documents/batch", { method: "POST", body, type: "application/x-ndjson", headers: { Accept: "application/x-ndjson" }, stream: true });
    if (!response.ok) throw await problemOf(response);
    for await (const receipt of receipts(response.body)) {
      tell(counted, receipt);
      change(entry, { note: words(counted) });
    }
    const error = counted.rejected ? { message: counted.first.join("; ") } : null;
    change(entry, { state: counted.accepted ? "sent" : "failed", note: words(counted), error });
  } catch (problem) {
    change(entry, { state: "failed", error: { message: problem.detail || problem.message, hint: problem.hint } });
  }
}

const words = ({ accepted, rejected }) => `${accepted} accepted${rejected ? `, ${rejected} rejected` : ""}`;

function tell(counted, receipt) {
  if (!receipt.error) counted.accepted += 1;
  else {
    counted.rejected += 1;
    if (counted.first.length < SHOWN_REJECTIONS) counted.first.push(receipt.error.message);
  }
}

// A line that names no collection goes where it was dropped. One that is no JSON is sent as it is: its receipt says why.
export function withCollection(text, collection) {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim())
    .map((line) => {
      try {
        return JSON.stringify({ ...JSON.parse(line), collection });
      } catch {
        return line;
      }
    })
    .join("\n")
    .concat("\n");
}

async function* receipts(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines) if (line.trim()) yield JSON.parse(line);
    if (done) return;
  }
}
