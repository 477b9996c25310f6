// How best relevance is spread over past questions: bars to brush, a floor to drag, and the same as a table.
import { html, useRef } from "../vendor.js";
import * as asking from "../asking.js";
import { placed } from "../ask/slider.js";
import { count, percent, share } from "../words.js";

const KINDS = [
  ["relevant", "something judged relevant"],
  ["irrelevant", "only judged not relevant"],
  ["unjudged", "not judged"],
];

// Judgements are known of the traces that are loaded; bars beyond them count as not judged.
export function binsOf(histogram, traces) {
  const bins = histogram.map((all) => ({ all, relevant: 0, irrelevant: 0 }));
  for (const one of traces) {
    if (one.best_relevance === null || one.judged === null) continue;
    bins[Math.min(bins.length - 1, Math.floor(one.best_relevance * bins.length + 1e-9))][one.judged ? "relevant" : "irrelevant"] += 1;
  }
  return bins.map((bin) => ({ ...bin, unjudged: Math.max(0, bin.all - bin.relevant - bin.irrelevant) }));
}

export function Histogram({ report, traces, floor, saved, brush, onBrush }) {
  const bins = binsOf(report.spread.histogram, traces.filter((one) => one.scorer === report.scorer));
  const most = Math.max(1, ...bins.map((bin) => bin.all));
  const whole = bins.reduce((sum, bin) => sum + bin.all, 0);
  const under = bins.reduce((sum, bin, place) => sum + ((place + 1) / bins.length <= floor + 1e-9 ? bin.all : 0), 0);
  const moved = (event) => asking.moveFloor(Number(event.target.value));
  return html`
    <div class="histogram" ref=${both(floor, saved)}>
      <${Bars} bins=${bins} most=${most} brush=${brush} onBrush=${onBrush} />
      <div class="axis" aria-hidden="true">${[0, 0.2, 0.4, 0.6, 0.8, 1].map((at) => html`<span key=${at}>${at.toFixed(1)}</span>`)}</div>
      <label class="visually-hidden" for="report-floor">Floor</label>
      <div class="range"><input id="report-floor" type="range" min="0" max="1" step="0.01" value=${floor} onInput=${moved} aria-valuetext=${`${share(floor)}, ${percent(whole ? under / whole : 0)} of past questions lie below`} /><span class="ghost" aria-hidden="true"></span></div>
      <div class="legend">
        ${KINDS.map(([kind, label]) => html`<span key=${kind}><i class="swatch ${kind}" aria-hidden="true"></i>${label}</span>`)}
        <${BrushInputs} brush=${brush} onBrush=${onBrush} />
      </div>
      <details class="as-table"><summary>The same as a table</summary><${BinTable} bins=${bins} /></details>
    </div>
  `;
}

const both = (floor, saved) => (element) => {
  placed("--at-floor", floor)(element);
  placed("--at-saved", saved)(element);
};

function Bars({ bins, most, brush, onBrush }) {
  const from = useRef(null);
  const at = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const bin = (value) => Math.floor(value * bins.length);
  const span = (one, other) => [Math.min(one, other) / bins.length, (Math.max(one, other) + 1) / bins.length];
  const down = (event) => {
    from.current = bin(at(event));
    event.currentTarget.setPointerCapture(event.pointerId);
    onBrush(span(from.current, from.current));
  };
  const move = (event) => from.current !== null && onBrush(span(from.current, bin(at(event))));
  const up = () => (from.current = null);
  const inside = (place) => !brush || (place / bins.length >= brush[0] - 1e-9 && (place + 1) / bins.length <= brush[1] + 1e-9);
  return html`
    <div class="bars" onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} aria-hidden="true">
      ${bins.map(
        (one, place) => html`<div key=${place} class="bin ${inside(place) ? "" : "outside"}" title=${`${one.all}`}>
          ${["unjudged", "irrelevant", "relevant"].map((kind) => one[kind] > 0 && html`<span key=${kind} class="part ${kind}" style=${{ height: `${(one[kind] / most) * 100}%` }}></span>`)}
        </div>`,
      )}
      <span class="floor-mark"></span>
    </div>
  `;
}

// What the pointer does on the bars, for the keyboard.
function BrushInputs({ brush, onBrush }) {
  const [low, high] = brush ?? [0, 1];
  const set = (place) => (event) => {
    const value = event.target.valueAsNumber;
    if (!(value >= 0 && value <= 1)) return;
    const next = place ? [low, value] : [value, high];
    if (next[0] <= next[1]) onBrush(next);
  };
  return html`
    <span class="brush" role="group" aria-label="Show traces with a best relevance between">
      from <input type="number" min="0" max="1" step="0.05" value=${low.toFixed(2)} onInput=${set(0)} aria-label="Best relevance from" />
      to <input type="number" min="0" max="1" step="0.05" value=${high.toFixed(2)} onInput=${set(1)} aria-label="Best relevance to" />
      <button type="button" class="small" disabled=${!brush} onClick=${() => onBrush(null)}>All</button>
    </span>
  `;
}

function BinTable({ bins }) {
  return html`
    <div class="scrolls"><table>
      <thead><tr><th scope="col">Best relevance</th><th scope="col" class="number">Questions</th>${KINDS.map(([kind, label]) => html`<th key=${kind} scope="col" class="number">${label}</th>`)}</tr></thead>
      <tbody>${bins.map(
        (bin, place) => html`<tr key=${place}><th scope="row">${share(place / bins.length)} to ${share((place + 1) / bins.length)}</th><td class="number">${count(bin.all)}</td>${KINDS.map(([kind]) => html`<td key=${kind} class="number">${count(bin[kind])}</td>`)}</tr>`,
      )}</tbody>
    </table></div>
  `;
}
