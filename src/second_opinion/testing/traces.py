"""Traces and judgements in memory, and traces for tests that are whole and valid."""

from collections.abc import Iterator, Sequence
from typing import Any

from second_opinion.pipeline import tracing
from second_opinion.pipeline.floor import judge
from second_opinion.schemas.candidate import ScoredCandidate
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.trace import (
    HISTOGRAM_BINS,
    FloorCount,
    Judgement,
    ReplayedQuery,
    ScorerTraces,
    Trace,
    TracePlace,
    TraceScope,
    TraceSpread,
    TraceSummary,
)
from second_opinion.schemas.verdict import CalibrationSource, Decision, Outcome, Passage, QueryResult
from second_opinion.testing.builders import a_query, a_scored

DAY: float = 86_400.0


def a_trace(
    job_id: str = "job-1", *relevances: float, at: float = 1_700_000_000.0, with_query: bool = True, **fields: Any
) -> Trace:
    """Return the trace of a query whose candidates, each of a document of its own, have these relevances.

    Args:
        job_id: The job; its question is named after it unless `text` says otherwise.
        relevances: Highest first.
        at: Unix seconds.
        with_query: Keep the question's text.
        fields: `text`, `query_relevance`, choices of the query, and fields of the trace.
    """
    text = fields.pop("text", f"question of {job_id}")
    query_relevance = fields.pop("query_relevance", None)
    chosen = QueryDefaults.model_fields.keys() - Trace.model_fields.keys()
    said = {name: fields.pop(name) for name in chosen if name in fields}
    query = a_query(text, job_id=job_id, **said)
    scored = [a_scored(rank, raw_score=-rank, relevance=value) for rank, value in enumerate(relevances, start=1)]
    job = Job(job_id=job_id, state=JobState.RERANKING, query=query, submitted_at=at - 1.0, expires_at=at + 60.0)
    result, candidates = _result(job, scored, query_relevance), [one.fused for one in scored]
    made = tracing.trace(job, result, candidates, at=at, with_query=with_query)
    return made.model_copy(update=fields)


def _result(job: Job, scored: Sequence[ScoredCandidate], query_relevance: float | None) -> QueryResult:
    verdict = judge(scored, job.query.choices, query_relevance)
    passages = [Passage.of(one) for one in verdict.judged]
    return QueryResult(
        job_id=job.job_id,
        collection=job.query.collection,
        query=job.query.text,
        outcome=verdict.outcome,
        reason=verdict.reason,
        sentence=verdict.sentence,
        floor=verdict.floor,
        best_relevance=verdict.best_relevance,
        query_relevance=verdict.query_relevance,
        kept=tuple(one for one in passages if one.decision is Decision.KEPT),
        dropped=tuple(one for one in passages if one.decision is not Decision.KEPT),
        candidates=len(passages),
        milliseconds={"rerank": 210.5, "judge": 0.25, "total": 250.75},
        embedder="word-embedder@1",
        reranker="word-reranker@1",
        calibration=CalibrationSource.SHIPPED,
        calibration_id="c1",
    )


class MemoryTraces:
    """A `TraceStore` in this process. What is written is seen at once; indices are days."""

    def __init__(self) -> None:
        self._traces: dict[str, Trace] = {}

    def write(self, traces: Sequence[Trace]) -> list[ErrorInfo | None]:
        """Write traces; return an error or None for each."""
        self._traces.update({trace.job_id: trace for trace in traces})
        return [None] * len(traces)

    def get(self, job_id: str) -> Trace | None:
        """Return the newest trace of a job."""
        return self._traces.get(job_id)

    def listed(self, scope: TraceScope, *, before: TracePlace | None = None, limit: int) -> list[TraceSummary]:
        """Return these traces without their candidates, the newest first; those behind a place in that order."""
        rows = sorted((_summary(trace) for trace in self._within(scope)), key=lambda row: (-row.at, row.job_id))
        return [row for row in rows if before is None or (-row.at, row.job_id) > (-before[0], before[1])][:limit]

    def scorers(self, scope: TraceScope) -> list[ScorerTraces]:
        """Return the scorers of these traces, the one with the newest trace first."""
        found: dict[str, list[float]] = {}
        for trace in self._within(scope):
            found.setdefault(trace.scorer, []).append(trace.at)
        rows = [ScorerTraces(scorer=name, traces=len(ats), newest_at=max(ats)) for name, ats in found.items()]
        return sorted(rows, key=lambda row: -row.newest_at)

    def spread(self, scope: TraceScope, floors: Sequence[float]) -> TraceSpread:
        """Return how relevance is spread over these traces, and what each of `floors` would have done."""
        traces = list(self._within(scope))
        histogram = [0] * HISTOGRAM_BINS
        for trace in traces:
            if trace.best_relevance is not None:
                reached = [place for place in range(HISTOGRAM_BINS) if trace.best_relevance >= place / HISTOGRAM_BINS]
                histogram[reached[-1]] += 1
        counts = [
            FloorCount(
                floor=floor,
                answered=sum(_reaches(trace, floor) for trace in traces),
                kept=sum(_shown_at(trace, floor) for trace in traces),
            )
            for floor in floors
        ]
        return TraceSpread(
            traces=len(traces),
            candidates=sum(len(trace.candidates) for trace in traces),
            answered=sum(trace.outcome is Outcome.ANSWERED for trace in traces),
            kept=sum(trace.kept for trace in traces),
            histogram=tuple(histogram),
            floors=tuple(counts),
        )

    def newest(self, scope: TraceScope, query_hashes: Sequence[str]) -> dict[str, Trace]:
        """Return the newest of these traces for each question."""
        wanted = set(query_hashes)
        found: dict[str, Trace] = {}
        for trace in self._newest_first(scope):
            if trace.query_hash in wanted:
                found.setdefault(trace.query_hash, trace)
        return found

    def changed(self, scope: TraceScope, floor: float, outcome: Outcome, *, limit: int) -> list[ReplayedQuery]:
        """Return the newest queries that ended otherwise but would have ended with `outcome` at this floor."""
        return [
            ReplayedQuery(
                job_id=trace.job_id,
                at=trace.at,
                query=trace.query,
                best_relevance=trace.best_relevance,
                floor=trace.choices.floor,
                kept=trace.kept,
                kept_then=_shown_at(trace, floor),
            )
            for trace in self._changes(scope, floor, outcome)
        ][:limit]

    def count_changed(self, scope: TraceScope, floor: float, outcome: Outcome) -> int:
        """Return how many queries `changed` has to tell of."""
        return len(self._changes(scope, floor, outcome))

    def drop(self, *, before: float) -> int:
        """Remove the days that were over before a moment; return how many of them held traces."""
        old = {name: trace.at // DAY for name, trace in self._traces.items() if (trace.at // DAY + 1) * DAY <= before}
        for name in old:
            del self._traces[name]
        return len(set(old.values()))

    def forget(self, collection: str) -> None:
        """Remove all traces of a collection."""
        self._traces = {name: trace for name, trace in self._traces.items() if trace.collection != collection}

    def _changes(self, scope: TraceScope, floor: float, outcome: Outcome) -> list[Trace]:
        would = {True: Outcome.ANSWERED, False: Outcome.REFUSED}
        return [
            trace
            for trace in self._newest_first(scope)
            if trace.outcome is not outcome and would[_reaches(trace, floor)] is outcome
        ]

    def _newest_first(self, scope: TraceScope) -> list[Trace]:
        return sorted(self._within(scope), key=lambda trace: -trace.at)

    def _within(self, scope: TraceScope) -> Iterator[Trace]:
        for trace in self._traces.values():
            collection = scope.collection in {None, trace.collection}
            scorer = scope.scorer in {None, trace.scorer}
            if collection and scorer and (scope.since is None or trace.at >= scope.since):
                yield trace


class MemoryJudgements:
    """A `JudgementStore` in this process."""

    def __init__(self) -> None:
        self._judgements: dict[str, Judgement] = {}

    def write(self, judgements: Sequence[Judgement]) -> None:
        """Write judgements, each in place of an earlier one of the same pair."""
        self._judgements.update({one.key: one for one in judgements})

    def get(self, keys: Sequence[str]) -> dict[str, Judgement]:
        """Return the judgements of these pairs; missing ones are left out."""
        return {key: self._judgements[key] for key in keys if key in self._judgements}

    def listed(self, collection: str | None, *, after: str | None, limit: int) -> list[Judgement]:
        """Return judgements by their key, of one collection or of all, those behind `after`."""
        found = sorted(self._judgements.items())
        chosen = [one for key, one in found if after is None or key > after]
        return [one for one in chosen if collection in {None, one.collection}][:limit]

    def forget(self, collection: str) -> None:
        """Remove all judgements in a collection."""
        self._judgements = {key: one for key, one in self._judgements.items() if one.collection != collection}


def _summary(trace: Trace) -> TraceSummary:
    same = {name: getattr(trace, name) for name in TraceSummary.model_fields.keys() & Trace.model_fields.keys()}
    counted = {"candidates": len(trace.candidates), "milliseconds": trace.milliseconds.get("total")}
    return TraceSummary.model_validate({**same, **counted, "floor": trace.choices.floor, "scorer": trace.scorer})


def _reaches(trace: Trace, floor: float) -> bool:
    return trace.best_relevance is not None and trace.best_relevance >= floor


def _shown_at(trace: Trace, floor: float) -> int:
    return sum(relevance >= floor for relevance in trace.relevances)
