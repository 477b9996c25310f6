// Two traces side by side: a line for each passage from its rank in one to its rank in the other.
import { html } from "../vendor.js";
import { call, part } from "../api.js";
import { useLoaded } from "../loading.js";
import { ProblemNotice } from "../notices.js";
import { sourceOf } from "../record.js";
import * as route from "../route.js";
import { DECISIONS, relevance, share } from "../words.js";

const RANKS = 20;
const STEP = 22;
const TOP = 14;

const load = (jobId, signal) => call(`/v1/traces/${part(jobId)}`, { signal });
const nameOf = ({ trace }) => trace.query ?? `question of ${trace.job_id}`;
const passageOf = (one) => `${one.document_id}\n${one.text_hash}`;

export function Comparison({ left, right }) {
  const pair = useLoaded((signal) => Promise.all([load(left, signal), load(right, signal)]), [left, right]);
  const swap = () => ([route.trace.value, route.compared.value] = [right, left]);
  return html`
    <section class="card" aria-labelledby="compared">
      <div class="card-head"><h2 id="compared">Compared</h2><div class="buttons"><button type="button" class="small" onClick=${swap}>Swap</button><button type="button" class="small" onClick=${() => (route.compared.value = null)}>Close</button></div></div>
      ${pair.problem && html`<${ProblemNotice} problem=${pair.problem} retry=${pair.reload} />`}
      ${!pair.value && !pair.problem && html`<p class="quiet" role="status">Looking both up …</p>`}
      ${pair.value && html`<${Pair} one=${pair.value[0]} other=${pair.value[1]} />`}
    </section>
  `;
}

// Every passage among the first ranks of either, with its place in each.
export function matched(one, other) {
  const places = new Map();
  for (const [side, { trace, chunks }] of [["left", one], ["right", other]]) {
    for (const candidate of trace.candidates) {
      const key = passageOf(candidate);
      const { title = "", headings = [] } = chunks[candidate.chunk_id] ?? {};
      const source = sourceOf({ title: title || candidate.document_id, headings });
      places.set(key, { source, ...places.get(key), [side]: candidate });
    }
  }
  const rank = (row) => Math.min(row.left?.rank ?? Infinity, row.right?.rank ?? Infinity);
  return [...places.values()].filter((row) => rank(row) <= RANKS).sort((a, b) => rank(a) - rank(b));
}

function Pair({ one, other }) {
  const rows = matched(one, other);
  const scorers = new Set([one, other].map(({ trace }) => `${trace.reranker} ${trace.calibration_id}`));
  const shared = rows.filter((row) => row.left && row.right).length;
  return html`
    <p><b>${nameOf(one)}</b> and <b>${nameOf(other)}</b> share ${shared} of ${rows.length} passages.</p>
    ${scorers.size > 1 && html`<p class="quiet">They were judged by different models or calibrations: compare their ranks, not their relevance.</p>`}
    <div class="slopes">
      <${Side} rows=${rows} side="left" trace=${one.trace} />
      <${Slopes} rows=${rows} />
      <${Side} rows=${rows} side="right" trace=${other.trace} />
    </div>
    <details class="as-table"><summary>The same as a table</summary>
      <div class="scrolls"><table>
        <thead><tr><th scope="col">Passage</th><th scope="col" class="number">Rank</th><th scope="col" class="number">Relevance</th><th scope="col">Decision</th><th scope="col" class="number">Rank</th><th scope="col" class="number">Relevance</th><th scope="col">Decision</th></tr></thead>
        <tbody>${rows.map((row, place) => html`<tr key=${place}><th scope="row">${row.source}</th>${["left", "right"].map((side) => html`<td class="number">${row[side]?.rank ?? "·"}</td><td class="number">${row[side] ? share(row[side].relevance) : "·"}</td><td>${row[side] ? DECISIONS[row[side].decision] : ""}</td>`)}</tr>`)}</tbody>
      </table></div>
    </details>
  `;
}

function Side({ rows, side, trace }) {
  const listed = rows.filter((row) => row[side] && row[side].rank <= RANKS).sort((a, b) => a[side].rank - b[side].rank);
  return html`<ol class="side ${side}">${listed.map(
    (row) => html`<li key=${row[side].chunk_id} class=${row[side].decision === "kept" ? "kept" : "dropped"}><span class="title" title=${row.source}>${row.source}</span> <span class="figure">${relevance(row[side].relevance, trace.choices.floor)}</span></li>`,
  )}</ol>`;
}

function Slopes({ rows }) {
  const both = rows.filter((row) => row.left?.rank <= RANKS && row.right?.rank <= RANKS);
  const tall = RANKS * STEP;
  const at = (rank) => TOP + (rank - 1) * STEP;
  return html`<svg class="lines-between" viewBox=${`0 0 100 ${tall}`} preserveAspectRatio="none" aria-hidden="true">
    ${both.map((row) => html`<path key=${passageOf(row.left)} class=${row.left.decision === "kept" || row.right.decision === "kept" ? "kept" : "dropped"} d=${`M0 ${at(row.left.rank)}C40 ${at(row.left.rank)} 60 ${at(row.right.rank)} 100 ${at(row.right.rank)}`} />`)}
  </svg>`;
}
