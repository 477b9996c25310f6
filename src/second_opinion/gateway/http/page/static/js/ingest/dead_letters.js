// Documents whose newest version failed: why, what to do, and another try.
import { html, useEffect, useState } from "../vendor.js";
import { call, part, query } from "../api.js";
import { Dialog, ProblemNotice } from "../notices.js";
import { announce, may } from "../session.js";
import { ago, plural } from "../words.js";
import { useLoaded, useRefresh } from "../loading.js";
import { change, entryFor } from "./entries.js";
import { follow } from "./following.js";

const PAGE = 50;

export function DeadLetters({ collection, news, onChange }) {
  const letters = useLoaded((signal) => call(`/v1/collections/${part(collection)}/dead-letters${query({ limit: PAGE })}`, { signal }).catch(nothingYet), [collection]);
  const [problem, setProblem] = useState(null);
  const [purging, setPurging] = useState(null);
  useEffect(() => letters.reload(), [news]);
  useRefresh(letters.reload);
  const listed = letters.value?.documents ?? [];
  const act = async (what, ids) => {
    setProblem(null);
    try {
      const { receipts } = await call(`/v1/collections/${part(collection)}/dead-letters/${what}`, { method: "POST", body: { ids } });
      const refused = receipts.find((one) => one.error);
      if (refused) setProblem(refused.error);
      if (what === "retry") receipts.filter((one) => !one.error).forEach(again);
      announce(`${plural(receipts.length, "document")} ${what === "retry" ? "tried again" : "given up"}`);
      letters.reload();
      onChange();
    } catch (caught) {
      setProblem(caught);
    }
  };
  return html`
    <section class="card" aria-labelledby="dead">
      <div class="card-head"><h2 id="dead">Dead letters</h2>
        ${listed.length > 1 && may("ingest") && html`<button type="button" class="small" onClick=${() => act("retry", listed.map((one) => one.document_id))}>Retry all ${listed.length}</button>`}
      </div>
      ${problem && html`<${ProblemNotice} problem=${problem} />`}
      ${letters.problem && html`<${ProblemNotice} problem=${letters.problem} retry=${letters.reload} />`}
      ${!listed.length && !letters.problem && html`<p class="quiet">${letters.loading && !letters.value ? "Looking …" : "No document has failed."}</p>`}
      ${listed.length > 0 && html`
        <div class="scrolls" tabindex="0" role="group" aria-labelledby="dead"><table class="dead">
          <thead><tr><th scope="col">Document</th><th scope="col">Reason</th><th scope="col" class="number">Attempts</th><th scope="col">Failed</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
          <tbody>${listed.map((one) => html`<${Letter} key=${one.document_id} one=${one} onRetry=${() => act("retry", [one.document_id])} onPurge=${() => setPurging(one)} />`)}</tbody>
        </table></div>`}
      <${Dialog} open=${purging !== null} title="Give this document up?" onClose=${() => setPurging(null)}>
        <p>What was sent of <b>${purging?.document_id}</b> is removed${purging?.searchable ? "; the older version that queries see stays" : ""}. It can be sent again.</p>
        <div class="buttons"><button type="button" onClick=${() => setPurging(null)}>Leave it</button><button type="button" class="primary" onClick=${() => { act("purge", [purging.document_id]); setPurging(null); }}>Give it up</button></div>
      </${Dialog}>
    </section>
  `;
}

const nothingYet = (problem) => {
  if (problem.code === "unknown_collection") return { documents: [] };
  throw problem;
};

// A document that is tried again is followed like one that was just sent.
function again(receipt) {
  const entry = entryFor({ name: receipt.document_id, size: null }, receipt.collection);
  change(entry, { id: receipt.document_id, state: "accepted", note: "tried again" });
  follow(entry);
}

function Letter({ one, onRetry, onPurge }) {
  return html`<tr>
    <th scope="row">${one.document_id}${one.searchable ? html` <span class="tag">an older version is searchable</span>` : ""}</th>
    <td>${one.error?.message ?? "No reason is recorded."}${one.error?.hint && html` <span class="hint">${one.error.hint}</span>`}</td>
    <td class="number">${one.attempts}</td>
    <td class="quiet nowrap">${ago(one.updated_at)}</td>
    <td>${may("ingest") && html`<div class="buttons"><button type="button" class="small" aria-label=${`Retry ${one.document_id}`} onClick=${onRetry}>Retry</button><button type="button" class="small" aria-label=${`Give up ${one.document_id}`} onClick=${onPurge}>Give up …</button></div>`}</td>
  </tr>`;
}
