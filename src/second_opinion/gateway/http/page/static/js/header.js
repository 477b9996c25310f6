// The header: tabs, collection, who judges, health, theme, keys.
import { html } from "./vendor.js";
import * as asking from "./asking.js";
import { about, chooseSingleKeys, chooseTheme, collections, forgetKey, hasKey, health, singleKeys, theme } from "./session.js";
import { KEYS, helpIsOpen } from "./keys.js";
import { Dialog } from "./notices.js";
import * as route from "./route.js";
import { short } from "./words.js";

const LABELS = { ask: "Ask", floor: "Floor", ingest: "Ingest" };
const HEALTH = { ok: "All well", degraded: "Not answering", away: "Not answering", unknown: "Looking" };
const THEMES = { system: "As the system", light: "Light", dark: "Dark" };

export function Header() {
  const known = about.value;
  return html`
    <header class="top">
      <a class="brand" href="/" onClick=${home}><${Mark} /> Second Opinion</a>
      <nav aria-label="Sections">
        ${route.TABS.map(
          (name) => html`<a key=${name} href=${name === "ask" ? "/" : `?tab=${name}`} aria-current=${route.tab.value === name ? "page" : null} onClick=${to(name)}>${LABELS[name]}</a>`,
        )}
      </nav>
      <div class="standing">
        ${known && html`<${CollectionChoice} />`}
        ${known && html`<span class="model" title=${`${known.reranker ?? "no reranker has said what it serves"}, calibration ${known.calibration ?? "none"}`}>${known.reranker ? short(known.reranker) : "no reranker yet"}${known.calibration ? ` · ${known.calibration}` : ""}</span>`}
        <${Health} />
        <${ThemeButton} />
        <button type="button" class="plain" aria-label="Keys, theme and access" onClick=${() => (helpIsOpen.value = true)}>?</button>
      </div>
    </header>
    <${Help} />
  `;
}

function CollectionChoice() {
  const names = [...new Set([route.collection.value, ...collections.value.map((one) => one.name)])].sort();
  const choose = (event) => {
    route.trace.value = null;
    route.floor.value = null;
    route.compared.value = null;
    route.collection.value = event.target.value;
  };
  return html`
    <label class="collection"><span class="visually-hidden">Collection</span>
      <select value=${route.collection.value} onChange=${choose}>${names.map((name) => html`<option key=${name} value=${name} selected=${name === route.collection.value}>${name}</option>`)}</select>
    </label>
  `;
}

function Health() {
  const { state, parts } = health.value;
  const words = parts.length ? `${HEALTH[state]}: ${parts.join(", ")}` : HEALTH[state];
  return html`<span class="health ${state}" role="status" title=${words}><span class="shape" aria-hidden="true"></span><span class=${state === "ok" || state === "unknown" ? "visually-hidden" : ""}>${words}</span></span>`;
}

// The system's theme, then the other ones, and around again.
function ThemeButton() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(theme.value) + 1) % names.length];
  return html`<button type="button" class="plain themes" aria-label=${`Theme: ${THEMES[theme.value].toLowerCase()}`} title=${`Theme: ${THEMES[theme.value].toLowerCase()}`} onClick=${() => chooseTheme(next)}>
    <svg class="theme ${theme.value}" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6" /><path d="M8 2a6 6 0 0 1 0 12Z" /></svg>
  </button>`;
}

function Help() {
  return html`
    <${Dialog} open=${helpIsOpen.value} title="Keys, theme and access" onClose=${() => (helpIsOpen.value = false)}>
      <dl class="pairs keys">${KEYS.map(([keys, what]) => html`<dt key=${keys}>${keys.split(" ").map((one) => (one === "then" ? " then " : html`<kbd>${one}</kbd> `))}</dt><dd>${what}</dd>`)}</dl>
      <label class="check"><input type="checkbox" checked=${singleKeys.value} onChange=${(event) => chooseSingleKeys(event.target.checked)} /> Single keys do something</label>
      <fieldset><legend>Theme</legend>
        ${Object.entries(THEMES).map(
          ([name, label]) => html`<label class="check" key=${name}><input type="radio" name="theme" value=${name} checked=${theme.value === name} onChange=${() => chooseTheme(name)} /> ${label}</label>`,
        )}
      </fieldset>
      ${about.value && html`<p class="facts"><span>version ${about.value.version}</span><span>embedder ${short(about.value.embedder)}</span><span>scopes ${about.value.key.scopes.join(", ")}</span></p>`}
      <div class="buttons">
        ${hasKey() && html`<button type="button" onClick=${forgetKey}>Forget the key</button>`}
        <button type="button" class="primary" onClick=${() => (helpIsOpen.value = false)}>Close</button>
      </div>
    </${Dialog}>
  `;
}

const to = (name) => (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  route.tab.value = name;
};

function home(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  asking.clear();
  route.trace.value = null;
  route.floor.value = null;
  route.tab.value = "ask";
}

// Two readings of one passage: a bar, and a bar that is held against a floor.
const Mark = () => html`<svg class="mark" viewBox="0 0 20 20" aria-hidden="true"><rect x="2" y="3" width="12" height="4" rx="1" class="first" /><rect x="2" y="13" width="8" height="4" rx="1" class="second" /><path d="M16 1v18" class="line" /></svg>`;
