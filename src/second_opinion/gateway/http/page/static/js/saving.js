// Saving a floor for a whole collection: shows what it would change, and asks.
import { html, useEffect, useState } from "./vendor.js";
import { call, part, query } from "./api.js";
import { Dialog, ProblemNotice } from "./notices.js";
import { announce, chosen, may, refreshCollections, savedFloor } from "./session.js";
import { percent, plural, share } from "./words.js";

// `lines` are [name, words] of what the caller knows of the change.
export function SaveFloor({ collection, floor, lines = [] }) {
  const [asks, setAsks] = useState(false);
  const allowed = may("admin");
  return html`
    <button type="button" class="small" disabled=${floor === savedFloor.value || !allowed} title=${allowed ? null : "needs a key with the scope admin"} onClick=${() => setAsks(true)}>Save …</button>
    <${SaveDialog} open=${asks} collection=${collection} floor=${floor} lines=${lines} onClose=${() => setAsks(false)} />
  `;
}

function SaveDialog({ open, collection, floor, lines, onClose }) {
  const [replay, setReplay] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    setReplay(null);
    setProblem(null);
    if (open) call(`/v1/floor/replay${query({ collection, floor })}`).then(setReplay, () => setReplay(false));
  }, [open]);
  const save = async () => {
    try {
      const said = Object.entries(chosen.value?.overrides ?? {}).filter(([, value]) => value !== null);
      await call(`/v1/collections/${part(collection)}`, { method: "PUT", body: { ...Object.fromEntries(said), floor } });
      await refreshCollections();
      announce(`The floor of ${collection} is now ${share(floor)}`);
      onClose();
    } catch (failed) {
      setProblem(failed);
    }
  };
  return html`
    <${Dialog} open=${open} title="Save this floor?" onClose=${onClose}>
      <p>Queries of <b>${collection}</b> that bring no floor of their own will be held against <b>${share(floor)}</b> instead of ${share(savedFloor.value)}.</p>
      <dl class="pairs">
        ${lines.map(([name, words]) => html`<dt key=${name}>${name}</dt><dd>${words}</dd>`)}
        <dt>Past questions</dt><dd>${replayWords(replay)}</dd>
      </dl>
      ${problem && html`<${ProblemNotice} problem=${problem} />`}
      <div class="buttons">
        <button type="button" onClick=${onClose}>Leave it</button>
        <button type="button" class="primary" onClick=${save}>Save ${share(floor)}</button>
      </div>
    </${Dialog}>
  `;
}

export function replayWords(replay) {
  if (replay === null) return "Looking …";
  if (!replay || !replay.traces) return "No traces to compare with.";
  const [now, then] = [replay.answered, replay.answered_then].map((answered) => percent(answered / replay.traces));
  const changed = replay.newly_refused + replay.newly_answered > 0;
  const answered = `answered ${changed ? `${now} → ${then}` : now} of ${plural(replay.traces, "question")}`;
  if (!changed) return `${answered}, the same as they were`;
  return `${answered}; ${replay.newly_refused} newly refused, ${replay.newly_answered} newly answered`;
}
