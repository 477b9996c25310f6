// The floor, moved over a stored trace: judged again here, without a request; saved only after asking.
import { html, useEffect, useState } from "../vendor.js";
import { call, part } from "../api.js";
import { Dialog, ProblemNotice } from "../notices.js";
import * as asking from "../asking.js";
import { announce, chosen, may, refreshCollections, savedFloor } from "../session.js";
import { floor as tried } from "../route.js";
import { percent, plural, share } from "../words.js";

export function FloorSlider({ record, verdict, asked }) {
  const [asks, setAsks] = useState(false);
  const floor = asking.shownFloor.value;
  const saved = savedFloor.value;
  const kept = `keeps ${verdict.kept} of ${record.candidates.length}`;
  const moved = (event) => asking.moveFloor(Number(event.target.value));
  return html`
    <section class="floor-panel" aria-label="Floor">
      <label for="floor">Floor</label>
      <div class="range" ref=${placed("--at-saved", saved)}>
        <input id="floor" type="range" min="0" max="1" step="0.01" value=${floor} onInput=${moved} aria-valuetext=${`${share(floor)}, ${kept}`} />
        <span class="ghost" title="saved floor of this collection" aria-hidden="true"></span>
      </div>
      <input class="number" type="number" min="0" max="1" step="0.01" value=${floor} onInput=${moved} aria-label="Floor as a number" />
      <output for="floor" class="difference">${difference(asked, verdict)}</output>
      <div class="buttons">
        <button type="button" class="small" disabled=${tried.value === null} onClick=${() => asking.moveFloor(record.choices.floor)}>Reset</button>
        <button type="button" class="small" disabled=${floor === saved || !may("admin")} title=${may("admin") ? null : "needs a key with the scope admin"} onClick=${() => setAsks(true)}>Save …</button>
      </div>
      <p class="saved">Saved in <b>${record.collection}</b>: ${share(saved)}</p>
      <${SaveDialog} open=${asks} record=${record} verdict=${verdict} asked=${asked} onClose=${() => setAsks(false)} />
    </section>
  `;
}

// "5 → 3 kept, 1 within 0.05"
export function difference(asked, verdict) {
  const kept = asked.kept === verdict.kept ? `${verdict.kept} kept` : `${asked.kept} → ${verdict.kept} kept`;
  return `${kept}, ${verdict.near} within ±0.05`;
}

// A custom property set from a script, which a strict content security policy allows where style attributes are not.
export const placed = (name, value) => (element) => element?.style.setProperty(name, String(value));

function SaveDialog({ open, record, verdict, asked, onClose }) {
  const [replay, setReplay] = useState(null);
  const [problem, setProblem] = useState(null);
  const floor = asking.shownFloor.value;
  useEffect(() => {
    setReplay(null);
    setProblem(null);
    if (!open) return;
    const path = `/v1/floor/replay?collection=${part(record.collection)}&floor=${floor}`;
    call(path).then(setReplay, () => setReplay(false));
  }, [open]);
  const save = async () => {
    try {
      const overrides = Object.fromEntries(Object.entries(chosen.value?.overrides ?? {}).filter(([, value]) => value !== null));
      await call(`/v1/collections/${part(record.collection)}`, { method: "PUT", body: { ...overrides, floor } });
      await refreshCollections();
      announce(`The floor of ${record.collection} is now ${share(floor)}`);
      onClose();
    } catch (failed) {
      setProblem(failed);
    }
  };
  return html`
    <${Dialog} open=${open} title="Save this floor?" onClose=${onClose}>
      <p>Queries of <b>${record.collection}</b> that bring no floor of their own will be held against <b>${share(floor)}</b> instead of ${share(savedFloor.value)}.</p>
      <dl class="pairs">
        <dt>This question</dt><dd>${difference(asked, verdict)}</dd>
        <dt>Past questions</dt><dd>${pastWords(replay)}</dd>
      </dl>
      ${problem && html`<${ProblemNotice} problem=${problem} />`}
      <div class="buttons"><button type="button" onClick=${onClose}>Leave it</button><button type="button" class="primary" onClick=${save}>Save ${share(floor)}</button></div>
    </${Dialog}>
  `;
}

function pastWords(replay) {
  if (replay === null) return "Looking …";
  if (!replay || !replay.traces) return "No traces to compare with.";
  const of = `of ${plural(replay.traces, "trace")}`;
  const answered = `answered ${percent(replay.answered / replay.traces)} → ${percent(replay.answered_then / replay.traces)} ${of}`;
  return `${answered}; ${replay.newly_refused} newly refused, ${replay.newly_answered} newly answered`;
}
