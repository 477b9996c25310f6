// The page: who comes in, which tab is shown, and what is said aloud.
import { html, render, useEffect, useState } from "./vendor.js";
import { Ask } from "./ask/ask.js";
import * as asking from "./asking.js";
import { Floor } from "./floor/floor.js";
import { Header } from "./header.js";
import { Ingest } from "./ingest/ingest.js";
import * as keys from "./keys.js";
import { ProblemNotice } from "./notices.js";
import * as route from "./route.js";
import * as session from "./session.js";
import { plural, share } from "./words.js";

const TITLES = { ask: "Ask", floor: "Floor", ingest: "Ingest" };
const SAID_AFTER_MS = 600;

function Page() {
  const ready = session.about.value !== null;
  useTitle();
  return html`
    <a class="skip" href="#main" onClick=${toMain}>To the content</a>
    <${Header} />
    <main id="main" tabindex="-1">
      <h1 class="visually-hidden">${TITLES[route.tab.value]}</h1>
      ${session.needsKey.value && html`<${KeyForm} />`}
      ${!session.needsKey.value && session.refused.value && html`<${ProblemNotice} problem=${session.refused.value} retry=${session.enter} />`}
      ${ready && !session.needsKey.value && html`<${Tab} />`}
    </main>
    <${Aloud} />
  `;
}

const Tab = () => ({ ask: html`<${Ask} />`, floor: html`<${Floor} />`, ingest: html`<${Ingest} />` })[route.tab.value];

function KeyForm() {
  const [key, setKey] = useState("");
  const wrong = session.hasKey();
  const submit = async (event) => {
    event.preventDefault();
    await session.useKey(key);
    setKey("");
  };
  return html`
    <section class="empty">
      <h2>This gateway asks for a key</h2>
      <p>${wrong ? "The key that was given is not, or no longer, valid." : "Whoever runs it makes one with:"} ${!wrong && html`<code>opinion keys create NAME --scope query</code>`}</p>
      <form class="key" onSubmit=${submit}>
        <label for="key">Key</label>
        <input id="key" type="password" autocomplete="off" spellcheck="false" value=${key} onInput=${(event) => setKey(event.target.value)} placeholder="so_…" />
        <button type="submit" class="primary" disabled=${!key.trim()}>Enter</button>
      </form>
      <p class="quiet">It is kept in this browser tab until that is closed, and sent to this gateway alone.</p>
    </section>
  `;
}

// One polite live region: the verdict while a floor moves is said once the floor rests.
function Aloud() {
  const [said, setSaid] = useState("");
  const verdict = asking.isTried.value ? asking.verdict.value : null;
  useEffect(() => {
    if (!verdict) return undefined;
    const words = `Floor ${share(asking.shownFloor.value)}: ${verdict.outcome}, ${plural(verdict.kept, "passage")} kept`;
    const timer = setTimeout(() => setSaid(words), SAID_AFTER_MS);
    return () => clearTimeout(timer);
  }, [verdict]);
  useEffect(() => setSaid(session.announcement.value), [session.announcement.value]);
  return html`<div class="visually-hidden" aria-live="polite" id="aloud">${said}</div>`;
}

function useTitle() {
  const question = asking.record.value?.question ?? asking.running.value?.question;
  const about = route.tab.value === "ask" && question ? question : TITLES[route.tab.value];
  useEffect(() => {
    document.title = `${about} · Second Opinion`;
  }, [about]);
}

function toMain(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

route.start();
keys.listen();
session.enter();
session.watchHealth();
render(html`<${Page} />`, document.getElementById("page"));
