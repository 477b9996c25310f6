// How the queues stand, read from Redis and Elasticsearch at that moment.
import { html } from "../vendor.js";
import { call } from "../api.js";
import { useLoaded, useRefresh } from "../loading.js";
import { ProblemNotice } from "../notices.js";
import { ago, count, duration } from "../words.js";

export function Queues() {
  const queues = useLoaded((signal) => call("/v1/queues", { signal }), []);
  useRefresh(queues.reload);
  const listed = queues.value?.queues ?? [];
  return html`
    <section class="card" aria-labelledby="queues">
      <h2 id="queues">Queues</h2>
      ${queues.problem && html`<${ProblemNotice} problem=${queues.problem} retry=${queues.reload} />`}
      ${listed.length > 0 && html`
        <div class="scrolls" tabindex="0" role="group" aria-labelledby="queues"><table>
          <thead><tr><th scope="col">Queue</th><th scope="col" class="number">Waiting</th><th scope="col">Oldest waits</th><th scope="col">Time to drain</th><th scope="col" class="number">Workers</th><th scope="col">Last seen</th></tr></thead>
          <tbody>${listed.map(
            (one) => html`<tr key=${one.name} class=${one.depth > 0 && !one.consumers ? "stuck" : ""}>
              <th scope="row">${one.name}</th><td class="number">${count(one.depth)}</td><td>${one.oldest_seconds === null ? "·" : duration(one.oldest_seconds)}</td>
              <td>${one.depth ? (one.drain_seconds === null ? "unknown" : duration(one.drain_seconds)) : "·"}</td><td class="number">${one.consumers}${one.depth > 0 && !one.consumers ? html` <span class="error-text">none</span>` : ""}</td><td class="quiet">${one.last_seen ? ago(one.last_seen) : "never"}</td>
            </tr>`,
          )}</tbody>
        </table></div>`}
    </section>
  `;
}
