// "Why not this document?": the first stage that it did not pass, with the numbers.
import { html, useEffect, useState } from "../vendor.js";
import { call, query } from "../api.js";
import { ProblemNotice } from "../notices.js";

const STEPS = [
  ["not_indexed", "Indexed"],
  ["filtered_out", "Within the filters"],
  ["not_retrieved", "Retrieved"],
  ["lost_in_fusion", "A candidate"],
  ["unscored", "Read"],
  ["below_floor", "Above the floor"],
  ["query_below_floor", "Query above the floor"],
  ["over_document_cap", "Within the document cap"],
  ["over_top_k", "Within top k"],
];

export function WhyNot({ record }) {
  const [name, setName] = useState("");
  const [state, setState] = useState({});
  useEffect(() => setState({}), [record.jobId]);
  const known = [...new Set([...record.lost.map((one) => one.document_id), ...record.candidates.map((one) => one.document)])];
  const explain = async (event) => {
    event?.preventDefault();
    if (!name.trim()) return;
    try {
      setState({ found: await call(`/v1/queries/${encodeURIComponent(record.jobId)}/why${query({ document: name.trim() })}`) });
    } catch (problem) {
      setState({ problem });
    }
  };
  return html`
    <section class="why">
      <h2>Why not …?</h2>
      <form onSubmit=${explain}>
        <label for="why" class="visually-hidden">Id of a document</label>
        <input id="why" list="why-known" placeholder="Id of a document that you expected" value=${name} onInput=${(event) => setName(event.target.value)} autocomplete="off" />
        <datalist id="why-known">${known.map((one) => html`<option key=${one} value=${one} />`)}</datalist>
        <button type="submit">Explain</button>
      </form>
      <div aria-live="polite">
        ${state.found && html`<${Explanation} found=${state.found} />`}
        ${state.problem && html`<${ProblemNotice} problem=${state.problem} trace=${record.jobId} />`}
      </div>
    </section>
  `;
}

function Explanation({ found }) {
  const stopped = STEPS.findIndex(([fate]) => fate === found.fate);
  const steps = stopped < 0 ? STEPS : STEPS.slice(0, stopped + 1);
  return html`
    <div class="explanation ${found.fate === "kept" ? "kept" : "dropped"}">
      <p class="sentence">${found.sentence}</p>
      ${found.hint && html`<p class="hint">${found.hint}</p>`}
      ${found.changed_since && html`<p>The document changed after this query was answered.</p>`}
      <ol class="steps">
        ${steps.map(([fate, label], place) => {
          const missed = place === stopped;
          return html`<li key=${fate} class=${missed ? "missed" : "passed"}><span aria-hidden="true">${missed ? "✗" : "✓"}</span> ${label}<span class="visually-hidden">${missed ? ": no" : ": yes"}</span></li>`;
        })}
      </ol>
    </div>
  `;
}
