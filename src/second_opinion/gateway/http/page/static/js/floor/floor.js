import { html } from "../vendor.js";
export const Floor = () => html`<p>…</p>`;
