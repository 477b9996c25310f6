// The Floor tab: what past questions say of a floor.
import { html, useEffect, useState } from "../vendor.js";
import { call, query } from "../api.js";
import { useLoaded } from "../loading.js";
import { ProblemNotice } from "../notices.js";
import * as route from "../route.js";
import { SaveFloor, replayWords } from "../saving.js";
import { may, savedFloor } from "../session.js";
import { count, plural, share } from "../words.js";
import { Comparison } from "./compare.js";
import { Histogram } from "./histogram.js";
import { Lines } from "./lines.js";
import { Suggestion } from "./suggest.js";
import { Traces, useTraces } from "./traces.js";
import { WhatIf } from "./whatif.js";

const GRID = Array.from({ length: 19 }, (_, step) => (step + 1) / 20);
const SETTLED_MS = 300;

export function Floor() {
  if (!may("query")) return html`<p class="quiet">This key has not the scope query, so past questions cannot be shown.</p>`;
  return html`<${Past} />`;
}

function Past() {
  const collection = route.collection.value;
  const floor = route.floor.value ?? savedFloor.value;
  const settled = useSettled(floor);
  const report = useLoaded((signal) => call(`/v1/floor/report${query({ collection, floors: GRID.join(",") })}`, { signal }), [collection, savedFloor.value]);
  const replay = useLoaded((signal) => call(`/v1/floor/replay${query({ collection, floor: settled })}`, { signal }), [collection, settled]);
  const traces = useTraces(collection);
  const [brush, setBrush] = useState(null);
  useEffect(() => setBrush(null), [collection]);
  if (report.problem && !report.value) return html`<${ProblemNotice} problem=${report.problem} retry=${report.reload} />`;
  if (!report.value) return html`<p class="quiet" role="status">Counting past questions …</p>`;
  if (!report.value.spread.traces) return html`<${NoTraces} />`;
  const known = report.value;
  return html`
    <section class="card" aria-labelledby="spread">
      <div class="card-head">
        <h2 id="spread">Best relevance of past questions</h2>
        <p class="facts"><span>${plural(known.spread.traces, "trace")}</span><span>${count(known.judged_pairs)} judged</span><span>${known.scorer}</span></p>
      </div>
      ${known.others.length > 0 && html`<p class="quiet">${others(known.others)}</p>`}
      <${Histogram} report=${known} traces=${traces.list} floor=${floor} saved=${savedFloor.value} brush=${brush} onBrush=${setBrush} />
      <div class="floor-row">
        <p class="sentence" role="status"><b>${share(floor)}</b>: ${replay.value ? replayWords(replay.value) : replay.problem ? replay.problem.message : "Looking …"}</p>
        <div class="buttons">
          <button type="button" class="small" disabled=${route.floor.value === null} onClick=${() => (route.floor.value = null)}>Reset</button>
          <${SaveFloor} collection=${collection} floor=${floor} />
        </div>
      </div>
    </section>
    <div class="columns">
      <section class="card" aria-labelledby="lines"><h2 id="lines">What a floor does</h2><${Lines} rows=${known.rows} floor=${floor} /></section>
      <${Suggestion} collection=${collection} judged=${known.judged_pairs} more=${known.judgements_for_3_points} />
    </div>
    <${WhatIf} report=${known} floor=${floor} saved=${savedFloor.value} />
    <${Traces} traces=${traces} floor=${floor} brush=${brush} onBrush=${setBrush} />
    ${route.trace.value && route.compared.value && html`<${Comparison} left=${route.trace.value} right=${route.compared.value} />`}
  `;
}

const others = (scorers) =>
  `Left out: ${scorers.map((one) => `${plural(one.traces, "trace")} of ${one.scorer}`).join(", ")}. Their relevance means something else.`;

function useSettled(value) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function NoTraces() {
  const toAsk = (event) => {
    event.preventDefault();
    route.tab.value = "ask";
  };
  return html`
    <section class="empty">
      <h2>No traces yet</h2>
      <p>Every question that is answered or refused leaves a trace. <a href="/" onClick=${toAsk}>Ask some</a>, judge a few passages, and choose the floor from what they say.</p>
    </section>
  `;
}
