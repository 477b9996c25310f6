import { html } from "../vendor.js";
export const Ingest = () => html`<p>…</p>`;
