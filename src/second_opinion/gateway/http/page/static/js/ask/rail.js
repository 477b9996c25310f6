// The stages of a query with their times and counts, live while it is on its way.
import { html, useEffect, useState } from "../vendor.js";
import { count, milliseconds } from "../words.js";

const STAGES = [
  ["queued", "Queued"],
  ["retrieve", "Retrieve"],
  ["fuse", "Fuse"],
  ["rerank", "Rerank"],
  ["judge", "Judge"],
];
const AT = { sending: 0, queued: 0, retrieving: 1, reranking: 3 };
const sum = (known, names) => names.reduce((total, name) => total + (known[name] ?? 0), 0);

// What each stage took, and what it left.
function measured(record) {
  const known = record.milliseconds;
  const read = record.candidates.length;
  return {
    queued: { ms: sum(known, ["queue_retrieve", "queue_rerank"]) },
    retrieve: { ms: sum(known, ["embed", "search", "verify"]) },
    fuse: { ms: known.fuse ?? 0, left: read + record.unscored.length || null },
    rerank: { ms: known.rerank ?? 0, left: read },
    judge: { ms: known.judge ?? 0 },
  };
}

export function Rail({ record, running }) {
  const now = useTicks(Boolean(running));
  const times = record ? measured(record) : {};
  const at = running ? (AT[running.state] ?? 0) : STAGES.length;
  const total = record?.milliseconds.total;
  return html`
    <ol class="rail" aria-label="Stages">
      ${STAGES.map(([name, label], place) => {
        const stage = record ? times[name] : live(running, place, at, now);
        const state = place < at ? "over" : place === at ? "now" : "ahead";
        return html`<li key=${name} class=${state} aria-current=${state === "now" ? "step" : null}>
          <span class="dot" aria-hidden="true"></span>
          <span class="name">${label}</span>
          <span class="figures">${figures(stage)}</span>
        </li>`;
      })}
      ${total !== undefined && html`<li class="total"><span class="name">Total</span><span class="figures">${milliseconds(total)}</span></li>`}
    </ol>
  `;
}

function figures(stage) {
  if (!stage || stage.ms === undefined) return "";
  const left = stage.left ? ` · ${count(stage.left)}` : "";
  return `${milliseconds(stage.ms)}${left}`;
}

// From the stages that were heard of: when each state began, by this browser's clock, and what retrieval brought.
function live(running, place, at, now) {
  if (!running || place > at) return null;
  const began = (state) => running.stages.find((stage) => stage.state === state)?.heard;
  const brought = running.stages.find((stage) => stage.candidates)?.candidates;
  const starts = [running.since, began("retrieving"), null, began("reranking")];
  const start = starts[place];
  if (!start) return null;
  const next = starts.slice(place + 1).find(Boolean);
  return { ms: Math.max(0, (place < at && next ? next : now) - start), left: place === 1 && place < at ? brought : null };
}

function useTicks(on) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!on) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 100);
    return () => clearInterval(timer);
  }, [on]);
  return now;
}
