// The Ingest tab: files on their way, what failed, and how the queues stand.
import { html, useEffect } from "../vendor.js";
import { call, part } from "../api.js";
import { useLoaded, useRefresh } from "../loading.js";
import { ProblemNotice } from "../notices.js";
import * as route from "../route.js";
import { chosen, may, refreshCollections } from "../session.js";
import { count } from "../words.js";
import { DeadLetters } from "./dead_letters.js";
import { DropZone } from "./drop.js";
import { Files } from "./files.js";
import { Queues } from "./queues.js";
import { files } from "./entries.js";

export function Ingest() {
  const collection = route.collection.value;
  const stats = useLoaded((signal) => statsOf(collection, signal), [collection, Boolean(chosen.value)]);
  const settled = files.value.filter((one) => one.state === "searchable" || one.state === "failed").length;
  useEffect(() => {
    stats.reload();
    if (settled && !chosen.value) refreshCollections().catch(() => {});
  }, [settled]);
  useRefresh(stats.reload);
  return html`
    <${DropZone} collection=${collection} />
    <${Files} />
    ${!may("query") && html`<p class="quiet">This key has not the scope query, so what is in ${collection} cannot be shown.</p>`}
    ${may("query") && stats.problem && !stats.value && html`<${ProblemNotice} problem=${stats.problem} retry=${stats.reload} />`}
    ${stats.value && html`<${Stats} stats=${stats.value} collection=${collection} />`}
    ${stats.value && html`<${DeadLetters} collection=${collection} news=${`${stats.value.documents?.failed} ${settled}`} onChange=${stats.reload} />`}
    ${may("admin") && html`<${Queues} />`}
  `;
}

// A collection begins to exist with its first document.
async function statsOf(collection, signal) {
  try {
    return await call(`/v1/collections/${part(collection)}/stats`, { signal });
  } catch (problem) {
    if (problem.code === "unknown_collection") return { documents: {}, chunks: 0, missing: true };
    throw problem;
  }
}

const STATES = [
  ["indexed", "Searchable"],
  ["received", "Waiting"],
  ["failed", "Failed"],
];

function Stats({ stats, collection }) {
  return html`
    <dl class="tiles" aria-label=${`Documents of ${collection}`}>
      ${STATES.map(([state, label]) => html`<div key=${state} class=${state}><dt>${label}</dt><dd>${count(stats.documents[state] ?? 0)}</dd></div>`)}
      <div><dt>Chunks</dt><dd>${count(stats.chunks ?? 0)}</dd></div>
      <div><dt>Calibration</dt><dd class="words">${stats.calibration ? "its own" : "the model's"}</dd></div>
    </dl>
  `;
}
