// Past questions, newest first: brushed by best relevance, opened, and two of them chosen to compare.
import { html, useEffect, useState } from "../vendor.js";
import { call, query } from "../api.js";
import { Icon, ProblemNotice } from "../notices.js";
import * as route from "../route.js";
import { OUTCOMES, ago, plural, relevance, share } from "../words.js";

const PAGE = 200;
const JUDGEMENTS = 1_000;
const ROWS = 25;

// The newest traces of a collection, with what was judged in them; more on demand.
export function useTraces(collection) {
  const [state, setState] = useState({ list: [], next: null, problem: null, loading: true });
  const [judged, setJudged] = useState(new Map());
  const load = async (before, list) => {
    setState((now) => ({ ...now, loading: true, problem: null }));
    try {
      const page = await call(`/v1/traces${query({ collection, limit: PAGE, before })}`);
      setState({ list: [...list, ...page.traces], next: page.next ?? null, problem: null, loading: false });
    } catch (problem) {
      setState((now) => ({ ...now, problem, loading: false }));
    }
  };
  useEffect(() => {
    load(null, []);
    judgedQuestions(collection).then(setJudged, () => {});
  }, [collection]);
  const list = state.list.map((one) => ({ ...one, judged: judged.get(one.job_id) ?? null }));
  return { ...state, list, more: () => load(state.next, state.list), reload: () => load(null, []) };
}

// By job: true where something is judged relevant, false where only other things are.
async function judgedQuestions(collection) {
  const { judgements } = await call(`/v1/judgements${query({ collection, limit: JUDGEMENTS })}`);
  const found = new Map();
  for (const one of judgements) found.set(one.job_id, (found.get(one.job_id) ?? false) || one.relevant);
  return found;
}

export function Traces({ traces, floor, brush, onBrush }) {
  const [shown, setShown] = useState(ROWS);
  useEffect(() => setShown(ROWS), [brush]);
  const inside = traces.list.filter((one) => !brush || (one.best_relevance !== null && one.best_relevance >= brush[0] && (one.best_relevance < brush[1] || brush[1] === 1)));
  const chosen = [route.trace.value, route.compared.value].filter(Boolean);
  const choose = (jobId) => {
    const next = chosen.includes(jobId) ? chosen.filter((one) => one !== jobId) : [...chosen, jobId].slice(-2);
    [route.trace.value, route.compared.value] = [next[0] ?? null, next[1] ?? null];
  };
  return html`
    <section class="card" aria-labelledby="traces">
      <div class="card-head">
        <h2 id="traces">Traces</h2>
        <p class="facts">
          <span>${plural(inside.length, "question")}${brush ? ` between ${share(brush[0])} and ${share(brush[1])}` : ""}${traces.next ? " among those loaded" : ""}</span>
          ${brush && html`<button type="button" class="small" onClick=${() => onBrush(null)}>Show all</button>`}
        </p>
      </div>
      <p class="quiet">Choose two to compare how they rank.</p>
      ${traces.problem && html`<${ProblemNotice} problem=${traces.problem} retry=${traces.reload} />`}
      <div class="scrolls" tabindex="0" role="group" aria-labelledby="traces">
        <table class="traces">
          <thead><tr><th scope="col"><span class="visually-hidden">Compare</span></th><th scope="col">Question</th><th scope="col">Outcome</th><th scope="col" class="number">Best</th><th scope="col">At ${share(floor)}</th><th scope="col" class="number">Kept</th><th scope="col">Judged</th><th scope="col">Asked</th></tr></thead>
          <tbody>${inside.slice(0, shown).map((one) => html`<${Line} key=${one.job_id} one=${one} floor=${floor} checked=${chosen.includes(one.job_id)} onChoose=${() => choose(one.job_id)} />`)}</tbody>
        </table>
      </div>
      ${(inside.length > shown || traces.next) && html`<p class="more"><button type="button" class="small" disabled=${traces.loading} onClick=${() => (inside.length > shown ? setShown(shown + ROWS) : traces.more())}>${inside.length > shown ? `Show ${Math.min(ROWS, inside.length - shown)} more` : "Load older traces"}</button></p>`}
    </section>
  `;
}

function Line({ one, floor, checked, onChoose }) {
  const question = one.query ?? "(question not kept)";
  const then = one.best_relevance === null || one.best_relevance < floor ? "refused" : "answered";
  const open = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    route.trace.value = one.job_id;
    route.compared.value = null;
    route.tab.value = "ask";
  };
  return html`<tr>
    <td><input type="checkbox" checked=${checked} onChange=${onChoose} aria-label=${`Compare: ${question}`} /></td>
    <td class="question"><a href=${`?trace=${one.job_id}`} onClick=${open}>${question}</a></td>
    <td class="outcome ${one.outcome}"><${Icon} name=${one.outcome} /> ${OUTCOMES[one.outcome]}</td>
    <td class="number">${one.best_relevance === null ? "·" : relevance(one.best_relevance, floor)}</td>
    <td class="${then === one.outcome ? "quiet" : "changed"}">${then === one.outcome ? "the same" : `would be ${then}`}</td>
    <td class="number">${one.kept}</td>
    <td>${one.judged === null ? "" : one.judged ? "✓ relevant" : "✗ not relevant"}</td>
    <td class="quiet nowrap">${ago(one.at)}</td>
  </tr>`;
}
