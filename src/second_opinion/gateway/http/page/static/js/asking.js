// Asking: a question on its way, the record it becomes, and the floor that is tried on it.
import { call, insist, isAborted, onceKey, part, unreachable } from "./api.js";
import { batch, computed, signal } from "./vendor.js";
import { judge } from "./judge.js";
import { recordOf } from "./record.js";
import * as route from "./route.js";
import { announce, savedFloor } from "./session.js";
import { follow } from "./stream.js";

export const draft = signal("");
export const choices = signal({});
// {jobId, question, state, since, stages, connection} while a question is on its way; `stopping` once it is to be
// cancelled: "asked", or "failed" when that could not be told.
export const running = signal(null);
export const record = signal(null);
export const judgements = signal({});
export const problem = signal(null);
export const loading = signal(false);

let current = new AbortController();

// The floor that is looked at: the one that is tried out, or the one that the query was judged by.
export const shownFloor = computed(() => route.floor.value ?? record.value?.choices.floor ?? savedFloor.value);

export const asked = computed(() => (record.value ? judgedAt(record.value, record.value.choices.floor) : null));
export const verdict = computed(() => (record.value ? judgedAt(record.value, shownFloor.value) : null));
export const isTried = computed(() => record.value !== null && shownFloor.value !== record.value.choices.floor);

function judgedAt(one, floor) {
  const found = judge(one.candidates, { ...one.choices, floor }, one.queryRelevance, one.unread);
  if (one.outcome !== "unjudged") return found;
  return { ...found, outcome: "unjudged", sentence: one.sentence ?? "No second opinion could be had." };
}

export function moveFloor(value) {
  if (!(value >= 0 && value <= 1)) return;
  performance.mark("floor-moved");
  const floor = Math.round(value * 1_000) / 1_000;
  const rests = route.tab.value === "ask" && record.value ? record.value.choices.floor : savedFloor.value;
  route.floor.value = floor === rests ? null : floor;
}

// `key` names this asking, so that a try after a lost connection does not ask a second time.
export async function ask(question, key = onceKey()) {
  const text = question.trim();
  if (!text) return;
  const mine = begin();
  let sent = false;
  batch(() => {
    running.value = { jobId: null, question: text, state: "sending", since: Date.now(), stages: [], connection: "live" };
    route.trace.value = null;
    route.floor.value = null;
  });
  try {
    const body = { text, collection: route.collection.value, ...choices.value };
    const job = await call("/v1/queries", { method: "POST", body, signal: mine.signal, headers: { "Idempotency-Key": key } });
    sent = true;
    running.value = { ...running.value, jobId: job.job_id, state: job.state };
    route.trace.value = job.job_id;
    if (running.value.stopping) stop(job.job_id);
    await finish(job.job_id, mine.signal);
  } catch (failed) {
    // Who has cancelled does not want it to be asked by itself once the gateway is back.
    const told = running.value?.stopping && failed.transient ? { ...failed, transient: false } : failed;
    failedWith(told, mine.signal, { again: () => ask(text, sent ? onceKey() : key), stays: true });
  }
}

// Shows the query that the address names: one that is still on its way is followed.
export async function open(jobId) {
  if (record.value?.jobId === jobId || running.value?.jobId === jobId) return;
  const mine = begin();
  loading.value = true;
  try {
    const [job, traced] = await Promise.all([quietly(`/v1/queries/${part(jobId)}`, mine), quietly(`/v1/traces/${part(jobId)}`, mine)]);
    if (job.value && !job.value.result && !job.value.error) {
      running.value = { jobId, question: job.value.query.text, state: job.value.state, since: job.value.submitted_at * 1_000, stages: [], connection: "live" };
      draft.value = job.value.query.text;
      await finish(jobId, mine.signal);
      return;
    }
    if (job.value?.error) throw ended(job.value);
    if (!job.value && !traced.value) throw traced.problem ?? unreachable();
    show(recordOf({ job: job.value, traced: traced.value }));
    if (record.value.question) draft.value = record.value.question;
  } catch (failed) {
    // What has ended stays as it ended: the way out is to ask again.
    const again = failed.question ? () => ask(failed.question) : () => open(jobId);
    failedWith(failed, mine.signal, { again, stays: false });
  } finally {
    if (mine === current) loading.value = false;
  }
}

// A question that is not there yet is cancelled as soon as it is.
export function cancel() {
  if (!running.value) return;
  running.value = { ...running.value, stopping: "asked" };
  if (running.value.jobId) stop(running.value.jobId);
}

// That it worked is heard where the job is followed.
async function stop(jobId) {
  try {
    await insist(`/v1/queries/${part(jobId)}/cancel`, { method: "POST" });
  } catch {
    if (running.value?.jobId === jobId) running.value = { ...running.value, stopping: "failed" };
  }
}

// Nothing is looked at any more; a question that is on its way, or did not get away, is.
export function leave() {
  if (!running.value && !problem.value?.stays) clear();
}

export function clear() {
  current.abort();
  batch(() => {
    running.value = record.value = problem.value = null;
    judgements.value = {};
  });
}

export async function judgeCandidate(candidate, relevant) {
  const before = judgements.value;
  judgements.value = { ...before, [candidate.chunkId]: relevant };
  try {
    await insist("/v1/judgements", { method: "POST", body: { job_id: record.value.jobId, chunk: candidate.chunkId, relevant } });
    announce(`Rank ${candidate.rank} judged ${relevant ? "relevant" : "not relevant"}`);
  } catch (failed) {
    judgements.value = before;
    throw failed;
  }
}

function begin() {
  current.abort();
  current = new AbortController();
  batch(() => {
    running.value = record.value = problem.value = null;
    judgements.value = {};
    loading.value = false;
  });
  return current;
}

async function finish(jobId, signal) {
  const change = (what) => {
    if (!signal.aborted) running.value = { ...running.value, ...what };
  };
  const job = await follow(jobId, {
    signal,
    onStage: (stage) => change({ state: stage.state, stages: [...running.value.stages, stage] }),
    onConnection: (connection) => running.value?.connection !== connection && change({ connection }),
  });
  if (!job.result) throw ended(job);
  show(recordOf({ job }));
  announce(record.value.sentence);
  if (job.result.outcome === "unjudged") return;
  // The texts of what was dropped are with the trace, which is written beside the answer.
  const traced = await quietly(`/v1/traces/${part(jobId)}`, { signal });
  if (traced.value && !signal.aborted) show(recordOf({ job, traced: traced.value }));
}

function show(one) {
  batch(() => {
    running.value = null;
    problem.value = null;
    record.value = one;
    judgements.value = one.judged;
    route.trace.value = one.jobId;
    route.collection.value = one.collection;
  });
}

const quietly = (path, { signal }) =>
  insist(path, { signal }).then(
    (value) => ({ value }),
    (failed) => ({ problem: failed }),
  );

function ended(job) {
  const titles = { failed: "The query failed", cancelled: "The query was cancelled", expired: "The query found no answer in time" };
  return { title: titles[job.state], detail: job.error?.message, ...job.error, state: job.state, jobId: job.job_id, question: job.query.text, transient: false };
}

// `again` is the way out, and `stays` tells that the problem is with no trace that the address names.
function failedWith(failed, signal, { again, stays }) {
  if (signal.aborted || isAborted(failed)) return;
  batch(() => {
    running.value = null;
    problem.value = { failed, again, stays };
  });
}
