// One candidate as a row, and opened: every stage's number, the whole chunk, and what people judge of it.
import { Component, html, useState } from "../vendor.js";
import * as asking from "../asking.js";
import { isNear } from "../judge.js";
import { marked, snippet } from "../marks.js";
import { sourceOf } from "../record.js";
import { CopyButton } from "../notices.js";
import { DECISIONS, rank, relevance } from "../words.js";

const WATCHED = ["candidate", "decision", "open", "judged", "jobId"];

// A moving floor passes by most rows: only those are drawn again of which something shown has changed.
export class Row extends Component {
  shouldComponentUpdate(next) {
    return WATCHED.some((name) => next[name] !== this.props[name]) || nearness(next) !== nearness(this.props);
  }

  render({ candidate, decision, wanted, open, judged, near, onToggle }) {
    const kept = decision === "kept";
    const id = `chunk-${candidate.chunkId}`;
    return html`
      <tr class=${`candidate ${kept ? "kept" : "dropped"} ${open ? "open" : ""}`} data-chunk=${candidate.chunkId}>
        <td class="rank" data-label="Final rank">${rank(candidate.rank)}</td>
        <td class="bm25_rank" data-label="BM25">${rank(candidate.bm25_rank)}</td>
        <td class="knn_rank" data-label="kNN">${rank(candidate.knn_rank)}</td>
        <td class="fused_rank" data-label="Fused">${rank(candidate.fused_rank)}</td>
        <td class="relevance" data-label="Relevance"><${Relevance} value=${candidate.relevance} floor=${near} kept=${kept} /></td>
        <td class="decision" data-label="Decision">
          <span class="pill ${decision}">${DECISIONS[decision]}</span>
          ${judged !== undefined && html`<span class="pill judged">${judged ? "✓ relevant" : "✗ not relevant"}</span>`}
        </td>
        <td class="passage">
          <button type="button" class="opener" aria-expanded=${open} aria-controls=${id} onClick=${onToggle}>${sourceOf(candidate)}</button>
          ${!open && candidate.text && html`<p class="snippet"><${Marked} text=${snippet(candidate.text, wanted)} wanted=${wanted} /></p>`}
        </td>
      </tr>
      ${open && html`<tr class="details" id=${id}><td colspan="7"><${Details} candidate=${candidate} wanted=${wanted} judged=${judged} /></td></tr>`}
    `;
  }
}

const nearness = ({ candidate, near, decision }) =>
  candidate.relevance === null ? "" : `${isNear(candidate.relevance, near)} ${relevance(candidate.relevance, near)} ${decision}`;

function Relevance({ value, floor, kept }) {
  if (value === null) return html`<span class="figure">·</span>`;
  return html`
    <span class="figure ${isNear(value, floor) ? "near" : ""}">${relevance(value, floor)}</span>
    <span class="bar ${kept ? "kept" : "dropped"}" aria-hidden="true"><span class="fill" style=${{ width: `${value * 100}%` }}></span><span class="ghost"></span><span class="tick"></span></span>
  `;
}

export function Marked({ text, wanted }) {
  return marked(text, wanted).map(([words, isMarked]) => (isMarked ? html`<mark>${words}</mark>` : words));
}

function Details({ candidate, wanted, judged }) {
  const [problem, setProblem] = useState(null);
  const judge = async (relevant) => {
    setProblem(null);
    await asking.judgeCandidate(candidate, relevant).catch(setProblem);
  };
  return html`
    <dl class="stages">
      <div><dt>BM25</dt><dd>${place(candidate.bm25_rank, candidate.bm25_score)}</dd></div>
      <div><dt>kNN</dt><dd>${place(candidate.knn_rank, candidate.knn_score)}</dd></div>
      <div><dt>Fused</dt><dd>${place(candidate.fused_rank, candidate.fused_score, 5)}</dd></div>
      <div><dt>Raw score</dt><dd>${candidate.raw_score === null ? "not read" : candidate.raw_score.toFixed(4)}</dd></div>
      <div><dt>Relevance</dt><dd>${candidate.relevance === null ? "none" : candidate.relevance.toFixed(4)}</dd></div>
    </dl>
    ${candidate.error && html`<p class="error-text">${candidate.error.message}</p>`}
    <div class="chunk">${candidate.text ? html`<${Marked} text=${candidate.text} wanted=${wanted} />` : html`<span class="quiet">The text of this passage is gone: its document changed or was deleted after the query.</span>`}</div>
    <p class="facts">
      <span>document <code>${candidate.document}</code></span>
      ${candidate.ordinal !== null && html`<span>chunk ${candidate.ordinal + 1}, characters ${candidate.start} to ${candidate.end}</span>`}
      ${Object.entries(candidate.metadata).map(([name, value]) => html`<span key=${name}>${name}: ${[value].flat().join(", ")}</span>`)}
      <${Source} uri=${candidate.uri} />
    </p>
    <div class="buttons" role="group" aria-label="Judge this passage">
      <button type="button" class="small" aria-pressed=${judged === true} onClick=${() => judge(true)}>✓ Relevant</button>
      <button type="button" class="small" aria-pressed=${judged === false} onClick=${() => judge(false)}>✗ Not relevant</button>
      <${CopyButton} text=${candidate.text}>Copy passage</${CopyButton}>
    </div>
    ${problem && html`<p class="error-text" role="alert">${problem.message}</p>`}
  `;
}

const place = (at, amount, decimals = 3) => (at === null ? "not in this list" : `${at} · ${amount === null ? "" : amount.toFixed(decimals)}`);

// A document names its own address, so only what a browser may safely open becomes a link.
function Source({ uri }) {
  if (!uri) return null;
  return /^https?:\/\//i.test(uri) ? html`<a href=${uri} rel="noopener noreferrer" target="_blank">${uri}</a>` : html`<span>${uri}</span>`;
}
