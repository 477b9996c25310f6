// One query as the page shows it, made from its trace, its job, or both: the job has sentences, the trace has texts.

const CANDIDATE_NUMBERS = ["raw_score", "fused_rank", "fused_score", "bm25_rank", "bm25_score", "knn_rank", "knn_score"];

export function recordOf({ job = null, traced = null }) {
  const trace = traced?.trace ?? null;
  const result = job?.result ?? null;
  const said = result ?? trace;
  const choices = job?.query.choices ?? trace.choices;
  const passages = result ? [...result.kept, ...result.dropped] : trace.candidates;
  const unscored = result?.unscored ?? [];
  return {
    jobId: said.job_id,
    collection: said.collection,
    question: result?.query ?? trace.query ?? null,
    at: trace?.at ?? job?.finished_at,
    choices: { floor: choices.floor, topK: choices.top_k, chunksPerDocument: choices.chunks_per_document, all: choices },
    filters: job?.query.filters ?? [],
    candidates: withTexts(passages, traced?.chunks).sort((a, b) => a.rank - b.rank),
    unscored: withTexts(unscored, traced?.chunks),
    lost: said.lost_in_fusion ?? [],
    queryRelevance: said.query_relevance ?? null,
    unread: unreadOf(result, trace),
    outcome: said.outcome,
    sentence: result?.sentence ?? null,
    unavailable: result?.unavailable_because ?? {},
    milliseconds: said.milliseconds ?? {},
    reranker: said.reranker,
    embedder: said.embedder,
    calibration: said.calibration,
    calibrationId: said.calibration_id ?? null,
    cached: said.cached ?? 0,
    queryTruncated: Boolean(result?.query_truncated),
    hasTrace: Boolean(trace),
    judged: Object.fromEntries(Object.entries(traced?.judgements ?? {}).map(([chunk, one]) => [chunk, one.relevant])),
  };
}

function withTexts(passages, chunks = {}) {
  return passages.map((one) => {
    const chunk = chunks?.[one.chunk_id] ?? {};
    const numbers = Object.fromEntries(CANDIDATE_NUMBERS.map((name) => [name, one[name] ?? null]));
    return {
      ...numbers,
      rank: one.rank ?? null,
      decision: one.decision,
      document: one.document_id,
      chunkId: one.chunk_id,
      relevance: one.relevance ?? null,
      title: one.title || chunk.title || one.document_id,
      headings: one.headings?.length ? one.headings : (chunk.headings ?? []),
      uri: one.uri || chunk.uri || "",
      text: one.text || chunk.text || "",
      metadata: Object.keys(one.metadata ?? {}).length ? one.metadata : (chunk.metadata ?? {}),
      ordinal: one.ordinal ?? chunk.ordinal ?? null,
      start: one.start ?? chunk.start ?? null,
      end: one.end ?? chunk.end ?? null,
      error: one.error ?? null,
    };
  });
}

function unreadOf(result, trace) {
  if (!result) return { late: trace.unscored ?? 0, unreadable: 0 };
  return { late: result.unscored.length - result.unreadable, unreadable: result.unreadable };
}

// What banner fits an outcome: an answer that was not read whole is told from one that was.
export function kindOf(record, outcome) {
  if (outcome === "unjudged") return "unjudged";
  if (record.unread.late || record.unread.unreadable) return outcome === "answered" ? "partial" : "refused_partial";
  return outcome;
}

// Where a passage stands: its title, then the sections it is in.
export const sourceOf = (candidate) => [candidate.title, ...candidate.headings.filter((one) => one !== candidate.title)].join(" › ");
