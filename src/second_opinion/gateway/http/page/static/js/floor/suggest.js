// A floor for a goal, or the honest answer that there is none.
import { html, useEffect, useState } from "../vendor.js";
import { call, query } from "../api.js";
import * as asking from "../asking.js";
import { count, plural, share } from "../words.js";
import { estimate } from "./whatif.js";

const GOALS = { precision: "Precision of at least", recall: "Recall of at least", refusal_f1: "Telling what has no answer" };
const NEEDED = 50;

export function Suggestion({ collection, judged, more }) {
  const [goal, setGoal] = useState("precision");
  const [target, setTarget] = useState(0.9);
  const [state, setState] = useState({});
  useEffect(() => setState({}), [collection, goal]);
  const suggest = async (event) => {
    event.preventDefault();
    const value = goal === "refusal_f1" ? null : target;
    try {
      setState({ found: await call(`/v1/floor/suggest${query({ collection, goal, value })}`) });
    } catch (problem) {
      setState({ problem });
    }
  };
  return html`
    <section class="card suggest" aria-labelledby="suggest">
      <h2 id="suggest">Suggest a floor</h2>
      <p class="quiet">${judged < NEEDED ? `${plural(judged, "judged pair")} so far; ${NEEDED} are the least this works with.` : more ? `${count(judged)} judged pairs; about ${count(more)} would narrow precision to ±0.03.` : `${plural(judged, "judged pair")}.`}</p>
      <form onSubmit=${suggest}>
        <label class="visually-hidden" for="goal">Goal</label>
        <select id="goal" value=${goal} onChange=${(event) => setGoal(event.target.value)}>${Object.entries(GOALS).map(([name, label]) => html`<option key=${name} value=${name} selected=${name === goal}>${label}</option>`)}</select>
        ${goal !== "refusal_f1" && html`<input type="number" min="0.01" max="1" step="0.01" value=${target} onInput=${(event) => setTarget(event.target.valueAsNumber)} aria-label="Target" />`}
        <button type="submit">Suggest</button>
      </form>
      <div aria-live="polite">${state.found && html`<${Found} found=${state.found} goal=${goal} />`}${state.problem && html`<p>${state.problem.message}</p><p class="hint">${state.problem.hint}</p>`}</div>
    </section>
  `;
}

function Found({ found, goal }) {
  const separation = html`<p class="quiet">Separation (AUROC) ${estimate(found.separation)}</p>`;
  if (found.finding === "no_separation") return html`<p><b>These traces do not separate.</b> No floor tells relevant passages from others here; another reranker or a calibration may.</p>${separation}`;
  if (found.finding === "out_of_reach") return html`<p><b>No floor reaches that.</b> The best is ${estimate(found.measured)}${found.measured_at === null ? "" : ` at ${share(found.measured_at)}`}.</p>${separation}`;
  return html`
    <p><b>${share(found.floor)}</b> (95 %: ${share(found.floor_low)} – ${share(found.floor_high)}), ${goal.replace("_", " ")} there ${estimate(found.measured)}${found.certain ? "" : ", which chance may have helped"}.</p>
    ${separation}
    <button type="button" class="small" onClick=${() => asking.moveFloor(found.floor)}>Try ${share(found.floor)}</button>
  `;
}
