// The bundled samples, sent like any other documents.
import { html, useState } from "../vendor.js";
import { call } from "../api.js";
import { may, refreshCollections } from "../session.js";
import * as route from "../route.js";
import { send } from "./sending.js";

export function LoadSamples() {
  const [problem, setProblem] = useState(null);
  const load = async () => {
    setProblem(null);
    try {
      const { documents } = await call("/assets/samples.json");
      route.tab.value = "ingest";
      await send(documents.map((body) => ({ name: body.id, size: body.text.length, body: async () => body })), route.collection.value);
      await refreshCollections();
    } catch (failed) {
      setProblem(failed);
    }
  };
  return html`
    <div class="buttons">
      <button type="button" disabled=${!may("ingest")} onClick=${load}>Load the samples</button>
    </div>
    ${!may("ingest") && html`<p class="quiet">This key has not the scope ingest.</p>`}
    ${problem && html`<p class="error-text" role="alert">${problem.message}</p>`}
  `;
}
