// The files of this visit, each with where it is.
import { html } from "../vendor.js";
import { bytes, plural } from "../words.js";
import { files, forgetEnded } from "./entries.js";

const SHOWN = 200;
const STATES = {
  waiting: ["·", "Waiting to be sent"],
  sending: ["↑", "Being sent"],
  accepted: ["✓", "Accepted (durable)"],
  indexing: ["…", "Being indexed"],
  sent: ["✓", "Accepted (durable)"],
  searchable: ["●", "Searchable"],
  failed: ["✗", "Failed"],
};

export function Files() {
  const all = files.value;
  if (!all.length) return null;
  const of = (...states) => all.filter((one) => states.includes(one.state)).length;
  const moving = of("waiting", "sending", "accepted", "indexing");
  const said = [`${of("searchable")} of ${plural(all.length, "file")} searchable`, moving && `${moving} on their way`, of("failed") && `${of("failed")} failed`].filter(Boolean).join(", ");
  return html`
    <section class="card" aria-labelledby="files">
      <div class="card-head"><h2 id="files">Files</h2><p class="facts"><span role="status">${said}</span><button type="button" class="small" onClick=${forgetEnded}>Clear ended</button></p></div>
      <div class="scrolls" tabindex="0" role="group" aria-labelledby="files">
        <table class="files">
          <thead><tr><th scope="col">File</th><th scope="col" class="number">Size</th><th scope="col">State</th><th scope="col">What there is to say</th></tr></thead>
          <tbody>${all.slice(-SHOWN).map((one) => html`<${FileLine} key=${one.key} one=${one} />`)}</tbody>
        </table>
      </div>
    </section>
  `;
}

function FileLine({ one }) {
  const [sign, label] = STATES[one.state];
  const chunks = one.chunks ? plural(one.chunks, "chunk") : "";
  const words = [chunks, one.note, one.waits].filter(Boolean).join(", ");
  return html`<tr class=${one.state}>
    <th scope="row">${one.name}</th>
    <td class="number">${one.size === null ? "" : bytes(one.size)}</td>
    <td class="state"><span aria-hidden="true">${sign}</span> ${label}</td>
    <td>${words}${one.error && html`<span class="error-text">${words ? " " : ""}${one.error.message}</span>`}${one.error?.hint && html` <span class="hint">${one.error.hint}</span>`}</td>
  </tr>`;
}
