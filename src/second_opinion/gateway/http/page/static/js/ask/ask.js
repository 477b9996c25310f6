// The Ask tab.
import { html, useEffect, useLayoutEffect, useRef } from "../vendor.js";
import * as asking from "../asking.js";
import * as route from "../route.js";
import { Icon, ProblemNotice } from "../notices.js";
import { chosen, collections, may } from "../session.js";
import { DropZone } from "../ingest/drop.js";
import { Rail } from "./rail.js";
import { FloorSlider } from "./slider.js";
import { Candidates } from "./table.js";
import { Verdict } from "./verdict.js";
import { WhyNot } from "./why.js";

const STOPPING = {
  asked: "Cancelling …",
  failed: "It could not be cancelled; the query goes on.",
};
const LOST = {
  reconnecting: "The stream of stages was lost. Reconnecting; the query goes on.",
  polling: "The stream of stages does not come back. Asking for the state instead; the query goes on.",
};

export function Ask() {
  useEffect(() => {
    if (route.trace.value) asking.open(route.trace.value);
    else asking.leave();
  }, [route.trace.value]);
  const running = asking.running.value;
  const record = asking.record.value;
  const problem = asking.problem.value;
  return html`
    <${QueryBox} running=${running} />
    ${(running || record) && html`<${Rail} running=${running} record=${record} />`}
    ${running && html`<${OnItsWay} running=${running} />`}
    ${problem && html`<${Stopped} problem=${problem} />`}
    ${asking.loading.value && html`<p class="quiet" role="status">Looking the trace up …</p>`}
    ${record && html`<${Answer} record=${record} />`}
    ${!running && !record && !problem && !asking.loading.value && html`<${Start} />`}
  `;
}

// The second click of a double one would be on what the button has become: it asks nothing, and cancels nothing.
const once = (work) => (event) => (event.detail > 1 ? event.preventDefault() : work?.());

function QueryBox({ running }) {
  const box = useRef(null);
  const submit = (event) => {
    event.preventDefault();
    asking.ask(asking.draft.value);
  };
  const typed = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    submit(event);
  };
  return html`
    <form class="query" onSubmit=${submit} role="search">
      <label for="question" class="visually-hidden">Question</label>
      <textarea id="question" ref=${box} rows="1" maxlength="4000" placeholder=${`Ask a question of ${route.collection.value}`} value=${asking.draft.value} onInput=${(event) => (asking.draft.value = event.target.value)} onKeyDown=${typed}></textarea>
      ${running
        ? html`<button type="button" aria-disabled=${running.stopping === "asked"} onClick=${once(asking.cancel)}>Cancel</button>`
        : html`<button type="submit" class="primary" disabled=${!asking.draft.value.trim()} onClick=${once()}>Ask</button>`}
      <${Choices} />
    </form>
  `;
}

const CHOICES = [
  ["top_k", "Top k", 1, 100],
  ["candidates", "Candidates", 1, 1000],
  ["chunks_per_document", "Chunks a document", 1, 1000],
  ["deadline_ms", "Deadline (ms)", 1, 3600000],
];

function Choices() {
  const said = asking.choices.value;
  const set = (name) => (event) => {
    const { [name]: _, ...rest } = said;
    const number = event.target.valueAsNumber;
    asking.choices.value = Number.isFinite(number) ? { ...rest, [name]: number } : rest;
  };
  const changed = Object.keys(said).length;
  return html`
    <details class="choices">
      <summary>Choices${changed ? ` (${changed} set)` : ""}</summary>
      <div>
        ${CHOICES.map(
          ([name, label, min, max]) => html`<label key=${name}>${label}<input type="number" min=${min} max=${max} value=${said[name] ?? ""} placeholder=${chosen.value?.overrides?.[name] ?? "default"} onInput=${set(name)} /></label>`,
        )}
      </div>
    </details>
  `;
}

function OnItsWay({ running }) {
  const told = STOPPING[running.stopping] ?? LOST[running.connection];
  return html`
    <section class="verdict running" aria-label="On its way">
      <p class="sentence" role="status">${told ?? `Reading what ${route.collection.value} has on it …`}</p>
      ${running.jobId && html`<p class="facts"><span>trace <code>${running.jobId}</code></span></p>`}
    </section>
  `;
}

function Stopped({ problem }) {
  const { failed, again } = problem;
  return html`<${ProblemNotice} problem=${failed} trace=${failed.jobId ?? route.trace.value} retry=${again} />`;
}

function Answer({ record }) {
  const verdict = asking.verdict.value;
  const judged = record.outcome !== "unjudged" && record.candidates.length > 0;
  useRejudgedMark(verdict);
  return html`
    <${Verdict} record=${record} verdict=${verdict} tried=${asking.isTried.value} />
    ${judged && html`<${FloorSlider} record=${record} verdict=${verdict} asked=${asking.asked.value} />`}
    ${record.candidates.length + record.unscored.length > 0 && html`<${Candidates} record=${record} verdict=${verdict} />`}
    <${WhyNot} record=${record} />
  `;
}

// How long a moved floor takes until the page shows it, for whoever measures.
function useRejudgedMark(verdict) {
  const first = useRef(true);
  useLayoutEffect(() => {
    if (!first.current && performance.getEntriesByName("floor-moved").length) {
      performance.measure("rejudged", "floor-moved");
      performance.clearMarks("floor-moved");
    }
    first.current = false;
  }, [verdict]);
}

function Start() {
  if (!may("query")) return html`<p class="quiet">This key has not the scope query, so nothing can be asked here.</p>`;
  if (!collections.value.length) {
    return html`
      <section class="empty"><h2>Nothing is indexed yet</h2><p>Begin with files of your own, or with a dozen sample leaflets.</p></section>
      <${DropZone} collection=${route.collection.value} onTake=${() => (route.tab.value = "ingest")} />
    `;
  }
  return html`
    <section class="empty">
      <h2><${Icon} name="answered" /> Ask, and see why</h2>
      <p>Up to a hundred passages are read beside your question. What clears the floor is shown; when nothing does, that is said.</p>
      <p class="quiet"><kbd>/</kbd> to the question · <kbd>?</kbd> all keys</p>
    </section>
  `;
}
