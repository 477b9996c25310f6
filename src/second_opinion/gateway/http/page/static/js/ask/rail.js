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
  const at = running ? placeOf(running) : STAGES.length;
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

// From the stages that were heard of, by the gateway's clock; the one that goes on, by this browser's.
function live(running, place, at, now) {
  if (!running || place > at) return null;
  const starts = [0, began(running, "retrieving"), null, began(running, "reranking"), null];
  const brought = running.stages.find((stage) => stage.candidates)?.candidates;
  if (starts[place] === null) return null;
  const next = starts.slice(place + 1).find((one) => one !== null);
  const over = place < at && next !== undefined ? next : now - running.since;
  return { ms: Math.max(0, over - starts[place]), left: place === 1 ? brought : null };
}

const began = (running, state) => running.stages.find((stage) => stage.state === state)?.elapsed_ms ?? null;

// A query that was retrieved for waits for a rerank worker, and stands there.
function placeOf(running) {
  const waits = running.state === "retrieving" && running.stages.some((stage) => stage.candidates);
  return waits ? AT.reranking : (AT[running.state] ?? 0);
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
