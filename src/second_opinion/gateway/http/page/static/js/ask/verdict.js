// The verdict: what became of the question, in words, shape and colour.
import { html } from "../vendor.js";
import { kindOf } from "../record.js";
import { CopyButton, Icon } from "../notices.js";
import { CALIBRATIONS, OUTCOMES, milliseconds, moment, plural, share, shellQuoted, short } from "../words.js";
import * as asking from "../asking.js";

const ICONS = { refused_partial: "refused" };

export function Verdict({ record, verdict, tried }) {
  const kind = kindOf(record, verdict.outcome);
  return html`
    <section class="verdict ${kind}" aria-label="Verdict">
      <h2><${Icon} name=${ICONS[kind] ?? kind} /> ${OUTCOMES[kind]}${tried && html` <span class="tag">at ${share(asking.shownFloor.value)}, tried out</span>`}</h2>
      <p class="sentence">${!tried && record.sentence ? record.sentence : verdict.sentence}</p>
      ${record.queryTruncated && html`<p>The question is longer than a model reads: its end played no part.</p>`}
      <${Unavailable} codes=${record.unavailable} />
      <p class="facts">
        <span>${milliseconds(record.milliseconds.total ?? 0)}</span>
        ${record.reranker && html`<span title=${record.reranker}>${short(record.reranker)}</span>`}
        ${record.outcome !== "unjudged" && html`<span title=${record.calibrationId}>${CALIBRATIONS[record.calibration]}</span>`}
        ${record.cached > 0 && html`<span>${plural(record.cached, "score")} known from before</span>`}
        ${record.at && html`<span>${moment(record.at)}</span>`}
        <span>trace <code>${record.jobId}</code></span>
      </p>
      <div class="buttons">
        <${CopyButton} text=${curlOf(record)}>Copy as cURL</${CopyButton}>
        <${CopyButton} text=${commandOf(record)}>Copy as command</${CopyButton}>
        <${CopyButton} text=${location.href}>Copy link</${CopyButton}>
      </div>
    </section>
  `;
}

function Unavailable({ codes }) {
  const named = Object.entries(codes);
  if (!named.length) return null;
  return html`<p>Asked first and not to be had: ${named.map(([name, code]) => `${name} (${code})`).join(", ")}.</p>`;
}

// A key is never copied: the shell's variable takes its place.
export function curlOf(record) {
  const body = { text: record.question ?? "", collection: record.collection, floor: asking.shownFloor.value };
  return [
    `curl -sS ${shellQuoted(`${location.origin}/v1/queries`)}`,
    `-H 'Content-Type: application/json' -H 'Prefer: wait=30' -H "Authorization: Bearer $OPINION_GATEWAY_KEY"`,
    `-d ${shellQuoted(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}

export const commandOf = (record) =>
  `opinion query ${shellQuoted(record.question ?? "")} --collection ${record.collection} --floor ${asking.shownFloor.value} --explain`;
