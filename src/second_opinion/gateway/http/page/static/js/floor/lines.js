// Three shares over the floor: what is answered, how precise it is, and what is wrongly refused.
import { html } from "../vendor.js";

const SERIES = [
  ["answered", "answered", (row) => row.answered],
  ["precision", "precision, with its 95 % interval", (row) => row.precision?.value],
  ["wrong", "wrongly refused", (row) => row.wrongly_refused?.value],
];
const x = (row) => (row.floor * 100).toFixed(2);
const y = (value) => (100 - value * 100).toFixed(2);

export function Lines({ rows, floor }) {
  const judged = rows.filter((row) => row.precision);
  const shown = SERIES.filter(([, , of]) => rows.some((row) => of(row) !== undefined && of(row) !== null));
  return html`
    <figure class="lines">
      <div class="plot">
        <div class="y-axis" aria-hidden="true"><span>100 %</span><span>50 %</span><span>0 %</span></div>
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="Shares over the floor; the table below has the figures">
          <path class="grid" d="M0 0H100M0 25H100M0 50H100M0 75H100M0 100H100" />
          ${judged.length > 1 && html`<polygon class="band" points=${[...judged.map((row) => `${x(row)},${y(row.precision.high)}`), ...judged.toReversed().map((row) => `${x(row)},${y(row.precision.low)}`)].join(" ")} />`}
          ${shown.map(([name, , of]) => html`<polyline key=${name} class=${name} points=${rows.filter((row) => of(row) !== undefined && of(row) !== null).map((row) => `${x(row)},${y(of(row))}`).join(" ")} />`)}
          <line class="at" x1=${floor * 100} x2=${floor * 100} y1="0" y2="100" />
        </svg>
        <div class="x-axis" aria-hidden="true">${[0, 0.2, 0.4, 0.6, 0.8, 1].map((at) => html`<span key=${at}>${at.toFixed(1)}</span>`)}</div>
      </div>
      <figcaption class="legend">${shown.map(([name, label]) => html`<span key=${name}><svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path class=${name} d="M0 4H24" /></svg>${label}</span>`)}</figcaption>
      ${!judged.length && html`<p class="quiet">Precision needs judgements: open a trace and mark passages as relevant or not.</p>`}
    </figure>
  `;
}
