"""What past queries tell: traces, judgements of their candidates, and what they say of a floor."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from second_opinion.gateway.direct.bounded import bounded
from second_opinion.pipeline.floor_choice import (
    JudgedQuery,
    Measures,
    count_pairs,
    join,
    separation,
    suggest,
)
from second_opinion.pipeline.ports import ChunkIndex, Clock, CollectionStore, JobStore, JudgementStore, TraceStore
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.errors import NotFound, UnknownCandidate, UnknownCollection, UnknownTrace
from second_opinion.schemas.floor_choice import (
    Estimate,
    FloorGoal,
    FloorReplay,
    FloorReport,
    FloorRow,
    FloorSuggestion,
)
from second_opinion.schemas.trace import (
    FloorCount,
    Judgement,
    ScorerTraces,
    Trace,
    TracedCandidate,
    TracePlace,
    TraceScope,
    TraceSpread,
    TraceSummary,
)
from second_opinion.schemas.verdict import Outcome

JUDGEMENTS_PER_READ: Final = 1_000
TRACE_DELAY: Final = 4.0
LOOK_SECONDS: Final = 0.2
EXAMPLES: Final = 10
NARROW: Final = 0.03
FLOORS: Final = tuple(step / 10 for step in range(1, 10))


@dataclass(frozen=True, slots=True)
class EvidenceStores:
    """Where evidence is kept. `jobs` tells whether a trace may still be on its way."""

    traces: TraceStore
    judgements: JudgementStore
    jobs: JobStore
    chunks: ChunkIndex
    collections: CollectionStore
    clock: Clock


class Evidence:
    """Traces and judgements, and what they say.

    Args:
        stores: Where they are kept.
        floor_of: The floor in force in a collection, or without one.
        call_seconds: What reading or writing some of it may take; not what goes over all of it.
    """

    def __init__(
        self, stores: EvidenceStores, floor_of: Callable[[str | None], float], *, call_seconds: float = 60.0
    ) -> None:
        self.call_seconds = call_seconds
        self._traces = stores.traces
        self._judgements = stores.judgements
        self._jobs = stores.jobs
        self._chunks = stores.chunks
        self._collections = stores.collections
        self._clock = stores.clock
        self._floor_of = floor_of

    @bounded
    def trace(self, job_id: str) -> Trace:
        """Return the trace of a query; one that was answered this moment is waited for.

        Raises:
            UnknownTrace: If there is none.
        """
        until = self._clock.now() + TRACE_DELAY
        while (found := self.find_trace(job_id)) is None:
            if self._clock.now() >= until:
                raise UnknownTrace(f"there is no trace of job {job_id}")
            self._clock.sleep(LOOK_SECONDS)
        return found

    @bounded
    def find_trace(self, job_id: str) -> Trace | None:
        """Return the trace of a query; None while it may still be on its way, for some seconds.

        Raises:
            UnknownTrace: If there is none, and none comes.
        """
        found = self._traces.get(job_id)
        if found is None and not self._may_come(job_id):
            raise UnknownTrace(f"there is no trace of job {job_id}")
        return found

    @bounded
    def traces(
        self, collection: str | None = None, *, before: TracePlace | None = None, limit: int = 100
    ) -> list[TraceSummary]:
        """Return one line for each past query, the newest first; those behind a place in that order."""
        return self._traces.listed(TraceScope(collection=collection), before=before, limit=limit)

    @bounded
    def judged(self, trace: Trace) -> dict[str, Judgement]:
        """Return the judgements of a trace's candidates, by chunk id."""
        keys = {one.chunk_id: self._judgement(trace, one, relevant=True).key for one in trace.candidates}
        found = self._judgements.get(list(keys.values()))
        return {chunk: found[key] for chunk, key in keys.items() if key in found}

    @bounded
    def chunks(self, trace: Trace) -> dict[str, ChunkHit]:
        """Return the chunks of a trace's candidates that are still there, by chunk id: traces hold no text."""
        try:
            index = self._collections.get(trace.collection).index
        except UnknownCollection:
            return {}
        return self._chunks.get(index, [candidate.chunk_id for candidate in trace.candidates])

    @bounded
    def judge(self, job_id: str, chunk: str, *, relevant: bool) -> Judgement:
        """Record whether a candidate is relevant to the question it was found for.

        Args:
            job_id: The query.
            chunk: The candidate's chunk id, or its rank in the trace.
            relevant: The judgement; a later one takes its place.

        Raises:
            UnknownTrace: If the query has no trace.
            UnknownCandidate: If it has no such candidate.
        """
        trace = self.trace(job_id)
        judgement = self._judgement(trace, _candidate(trace, chunk), relevant=relevant)
        self._judgements.write([judgement])
        return judgement

    @bounded
    def judgements_page(
        self, collection: str | None = None, *, after: str | None = None, limit: int = JUDGEMENTS_PER_READ
    ) -> list[Judgement]:
        """Return judgements by their key, of one collection or of all, those behind `after`."""
        return self._judgements.listed(collection, after=after, limit=limit)

    def judgements(self, collection: str | None = None) -> Iterator[Judgement]:
        """Yield all judgements, of one collection or of all."""
        after: str | None = None
        while True:
            page = self.judgements_page(collection, after=after)
            yield from page
            if len(page) < JUDGEMENTS_PER_READ:
                return
            after = page[-1].key

    def report(self, collection: str | None = None, *, floors: Sequence[float] = FLOORS) -> FloorReport:
        """Return how relevance is spread over past queries, and what floors would have done with them."""
        now = self._floor_of(collection)
        chosen = sorted({*floors, now})
        scope, others = self._scope(collection)
        spread = self._traces.spread(scope, chosen)
        queries = self._judged_queries(scope)
        rows = _rows(spread, queries)
        return FloorReport(
            collection=collection,
            scorer=scope.scorer,
            others=tuple(others),
            floor=now,
            spread=spread,
            rows=rows,
            judged_pairs=count_pairs(queries),
            judged_queries=len(queries),
            separation=separation(queries) if queries else None,
            judgements_for_3_points=_needed(rows[chosen.index(now)].precision, count_pairs(queries)),
        )

    def replay(self, floor: float, collection: str | None = None, *, examples: int = EXAMPLES) -> FloorReplay:
        """Return what past queries would have answered at a floor, each by its own other choices."""
        scope, _ = self._scope(collection)
        spread = self._traces.spread(scope, [floor])
        (then,) = spread.floors
        return FloorReplay(
            collection=collection,
            scorer=scope.scorer,
            floor=floor,
            traces=spread.traces,
            answered=spread.answered,
            answered_then=then.answered,
            kept=spread.kept,
            kept_then=then.kept,
            newly_refused=self._traces.count_changed(scope, floor, Outcome.REFUSED),
            newly_answered=self._traces.count_changed(scope, floor, Outcome.ANSWERED),
            refused_examples=tuple(self._traces.changed(scope, floor, Outcome.REFUSED, limit=examples)),
            answered_examples=tuple(self._traces.changed(scope, floor, Outcome.ANSWERED, limit=examples)),
        )

    def suggest(self, goal: FloorGoal, target: float | None = None, collection: str | None = None) -> FloorSuggestion:
        """Return a floor for a goal, or the honest answer that there is none.

        Raises:
            NotEnoughJudgements: If fewer than 50 judged pairs belong to the traces, or all are judged alike.
        """
        scope, _ = self._scope(collection)
        found = suggest(self._judged_queries(scope), goal, target)
        return found.model_copy(update={"scorer": scope.scorer, "collection": collection})

    def _scope(self, collection: str | None) -> tuple[TraceScope, list[ScorerTraces]]:
        """Return the traces of the newest scorer, and the other scorers."""
        scorers = self._traces.scorers(TraceScope(collection=collection))
        newest = scorers[0].scorer if scorers else None
        return TraceScope(collection=collection, scorer=newest), scorers[1:]

    def _judged_queries(self, scope: TraceScope) -> list[JudgedQuery]:
        by_collection: dict[str, list[Judgement]] = {}
        for one in self.judgements(scope.collection):
            by_collection.setdefault(one.collection, []).append(one)
        found: list[JudgedQuery] = []
        for collection, judgements in by_collection.items():
            within = scope.model_copy(update={"collection": collection})
            found += join(judgements, self._traces.newest(within, [one.query_hash for one in judgements]))
        return found

    def _judgement(self, trace: Trace, candidate: TracedCandidate, *, relevant: bool) -> Judgement:
        return Judgement(
            collection=trace.collection,
            query_hash=trace.query_hash,
            query=trace.query,
            document_id=candidate.document_id,
            text_hash=candidate.text_hash,
            relevant=relevant,
            chunk_id=candidate.chunk_id,
            job_id=trace.job_id,
            judged_at=self._clock.now(),
        )

    def _may_come(self, job_id: str) -> bool:
        try:
            job = self._jobs.get(job_id)
        except NotFound:
            return False
        return job.result is not None and (job.finished_at or 0.0) > self._clock.now() - TRACE_DELAY


def _candidate(trace: Trace, chunk: str) -> TracedCandidate:
    for candidate in trace.candidates:
        if chunk in {candidate.chunk_id, str(candidate.rank)}:
            return candidate
    raise UnknownCandidate(
        f"job {trace.job_id} has no candidate {chunk}; it has {len(trace.candidates)}",
        hint=f"Take a rank or chunk id from: opinion trace {trace.job_id} --all",
    )


def _rows(spread: TraceSpread, queries: Sequence[JudgedQuery]) -> tuple[FloorRow, ...]:
    plain = [_row(one, spread) for one in spread.floors]
    if not queries:
        return tuple(plain)
    measures = Measures(queries, [one.floor for one in spread.floors])
    columns = zip(measures.precision(), measures.recall(), measures.f1(), measures.wrongly_refused(), strict=True)
    return tuple(
        row.model_copy(update={"precision": precision, "recall": recall, "f1": f1, "wrongly_refused": refused})
        for row, (precision, recall, f1, refused) in zip(plain, columns, strict=True)
    )


def _row(one: FloorCount, spread: TraceSpread) -> FloorRow:
    return FloorRow(
        floor=one.floor,
        answered=one.answered / max(1, spread.traces),
        kept_per_query=one.kept / max(1, spread.traces),
        trimmed=1.0 - one.kept / max(1, spread.candidates),
    )


def _needed(precision: Estimate | None, judged: int) -> int | None:
    """Return about how many judged pairs make the interval as narrow as plus or minus 0.03."""
    half = (precision.high - precision.low) / 2.0 if precision is not None else 0.0
    return math.ceil(judged * (half / NARROW) ** 2 / 10) * 10 if half > NARROW else None
