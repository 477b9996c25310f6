// The floor, moved over a stored trace: judged again here, without a request; saved only after asking.
import { html } from "../vendor.js";
import * as asking from "../asking.js";
import { SaveFloor } from "../saving.js";
import { savedFloor } from "../session.js";
import { floor as tried } from "../route.js";
import { share } from "../words.js";

export function FloorSlider({ record, verdict, asked }) {
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
        <${SaveFloor} collection=${record.collection} floor=${floor} lines=${[["This question", difference(asked, verdict)]]} />
      </div>
      <p class="saved">Saved in <b>${record.collection}</b>: ${share(saved)}</p>
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
