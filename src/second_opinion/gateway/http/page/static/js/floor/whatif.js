// What each floor would have done with past questions, as a table.
import { html } from "../vendor.js";
import { percent, share } from "../words.js";

const TENTH = (floor) => Math.abs(floor * 10 - Math.round(floor * 10)) < 1e-9;

export function WhatIf({ report, floor, saved }) {
  const rows = report.rows.filter((row) => TENTH(row.floor) || same(row.floor, saved) || same(row.floor, floor));
  return html`
    <section class="card" aria-labelledby="what-if">
      <h2 id="what-if">What if</h2>
      <div class="scrolls" tabindex="0" role="group" aria-labelledby="what-if">
        <table class="what-if">
          <thead><tr><th scope="col">Floor</th><th scope="col" class="number">Answered</th><th scope="col" class="number">Shown a question</th><th scope="col" class="number">Trimmed</th><th scope="col" class="number">Precision (95 %)</th><th scope="col" class="number">Recall (95 %)</th><th scope="col" class="number">Wrongly refused</th></tr></thead>
          <tbody>${rows.map(
            (row) => html`<tr key=${row.floor} class=${same(row.floor, saved) ? "saved" : ""}>
              <th scope="row">${share(row.floor)}${same(row.floor, saved) ? html` <span class="tag">saved</span>` : ""}</th>
              <td class="number">${percent(row.answered)}</td><td class="number">${row.kept_per_query.toFixed(2)}</td><td class="number">${percent(row.trimmed)}</td>
              <td class="number">${estimate(row.precision)}</td><td class="number">${estimate(row.recall)}</td><td class="number">${row.wrongly_refused ? percent(row.wrongly_refused.value) : "·"}</td>
            </tr>`,
          )}</tbody>
        </table>
      </div>
    </section>
  `;
}

const same = (one, other) => Math.abs(one - other) < 1e-9;
export const estimate = (one) => (one ? `${share(one.value)} (${share(one.low)} – ${share(one.high)})` : "·");
