"""Answering: the query stages in their order. The retrieve worker runs the first half, the rerank worker the second.

Query -(retrieve)-> Candidate -(fuse)-> FusedCandidate -(rerank)-> ScoredCandidate -(judge)-> Verdict
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from second_opinion.pipeline.calibration import CollectionCalibrations
from second_opinion.pipeline.floor import judge
from second_opinion.pipeline.fusion import fuse
from second_opinion.pipeline.ports import (
    Calibration,
    Clock,
    Embedder,
    Guard,
    Meter,
    QueryReader,
    Reranker,
    ScoreCache,
    TimeIsOver,
    no_guard,
    no_meter,
)
from second_opinion.pipeline.reranking import Reading, rerank
from second_opinion.pipeline.retrieval import RetrievalParts, retrieve
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.errors import CalibrationMismatch
from second_opinion.schemas.job import Job
from second_opinion.schemas.verdict import Decision, Passage, QueryResult, UnscoredPassage, Verdict

RESERVE_SHARE: Final = 0.1
LEAST_RESERVE_SECONDS: Final = 0.02
MOST_RESERVE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class JudgementParts:
    """What the second half needs from the outside.

    Attributes:
        calibration: Holds where a collection has none of its own.
        scores: Raw scores of this reranker that are known from before; None when none are kept.
        of_collections: The calibrations of collections; without it such a collection's queries fail.
    """

    reranker: Reranker
    calibration: Calibration
    of_collections: CollectionCalibrations | None = None
    scores: ScoreCache | None = None

    @property
    def model(self) -> str:
        """The reranker as results and traces name it."""
        return f"{self.reranker.spec.model}@{self.reranker.spec.revision}"

    def calibration_of(self, collection: str, calibration_id: str | None) -> Calibration:
        """Return the calibration that holds for a collection, given the id of its own one or None.

        Raises:
            CalibrationMismatch: If its own one cannot be applied here.
            StoreUnavailable: If it has to be fetched and cannot be.
        """
        if calibration_id is None:
            return self.calibration
        if self.of_collections is None:
            raise CalibrationMismatch(
                f"calibration {calibration_id} of collection {collection!r} cannot be fetched here",
                hint=f"Do without: opinion collections set {collection} --calibration none",
            )
        return self.of_collections.get(calibration_id, collection=collection)


def own_calibration(handover: Handover, model: str) -> str | None:
    """Return the id of the collection's calibration for a model; None when that of the model itself holds."""
    return handover.calibrations.get(model) if handover.calibrations else handover.calibration_id


def retrieve_candidates(job: Job, parts: RetrievalParts, *, clock: Clock, guard: Guard = no_guard) -> Handover:
    """Return the fused candidates of a job, ready to be handed to a rerank worker.

    Raises:
        OpinionError: As `retrieve` does, and whatever the guard raises.
    """
    waited = since(job.submitted_at, clock)
    retrieval = retrieve(job.query, parts, guard=guard)
    milliseconds = {"queue_retrieve": waited, **retrieval.milliseconds}
    with _timed("fuse", milliseconds):
        fusion = fuse(retrieval.candidates, job.query.choices)
    spec = parts.embedder.spec
    return Handover(
        fusion=fusion,
        stale_dropped=retrieval.stale_dropped,
        rounds=retrieval.rounds,
        depth=retrieval.depth,
        calibration_id=retrieval.calibration_id,
        calibrations=retrieval.calibrations,
        embedder=f"{spec.model}@{spec.revision}",
        query_cut=query_cut(parts.embedder, job.query.text),
        milliseconds=milliseconds,
        handed_over_at=clock.now(),
    )


def judge_candidates(  # noqa: PLR0913 - all but three by name
    job: Job,
    handover: Handover,
    parts: JudgementParts,
    *,
    clock: Clock,
    guard: Guard = no_guard,
    meter: Meter = no_meter,
) -> QueryResult:
    """Return the answer to a job, or its refusal; the meter hears what a provider's answers cost.

    Raises:
        RerankUnavailable: If the second opinion cannot be had.
        DeadlineExceeded: If no candidate could be read by the time the answer is wanted.
        RelevanceMissing: If a score is not usable.
        TextUnreadable: If the reranker fails on every candidate.
        CalibrationMismatch: If the collection has a calibration of its own that belongs to another model.
        OpinionError: Whatever the guard raises.
    """
    milliseconds = {**handover.milliseconds, "queue_rerank": since(handover.handed_over_at, clock)}
    with _timed("rerank", milliseconds):
        calibration = parts.calibration_of(job.query.collection, own_calibration(handover, parts.reranker.spec.model))
        reading = rerank(
            job.query.text,
            handover.fusion.candidates,
            reranker=parts.reranker,
            calibration=calibration,
            guard=guard,
            is_over=_time_is_over(job, clock),
            known=parts.scores,
            meter=meter,
        )
    with _timed("judge", milliseconds):
        query_relevance = calibration.query_relevance([candidate.raw_score for candidate in reading.scored])
        unscored = len(handover.fusion.candidates) - len(reading.scored)
        verdict = judge(
            reading.scored, job.query.choices, query_relevance, unscored=unscored, unreadable=len(reading.failed)
        )
    milliseconds["total"] = since(job.submitted_at, clock)
    result = _result(job, handover, verdict, (parts.model, calibration), milliseconds)
    return result.model_copy(
        update={
            "unscored": _unscored(handover, reading),
            "query_tokens_read": query_tokens_read(handover, query_cut(parts.reranker, job.query.text)),
        }
    )


def query_cut(model: Embedder | Reranker, query: str) -> int | None:
    """Return how many tokens of a query a model reads when it has more; None when it reads all, or none can tell."""
    return model.query_cut(query) if isinstance(model, QueryReader) else None


def query_tokens_read(handover: Handover, by_reranker: int | None = None) -> dict[str, int]:
    """Return how many tokens of the query were read, by `embedder` and `reranker`, for each that read not all."""
    found = {"embedder": handover.query_cut, "reranker": by_reranker}
    return {reader: tokens for reader, tokens in found.items() if tokens is not None}


def _unscored(handover: Handover, reading: Reading) -> tuple[UnscoredPassage, ...]:
    read = {one.fused.candidate.chunk.chunk_id for one in reading.scored}
    unread = {fused.candidate.chunk.chunk_id: fused for fused in handover.fusion.candidates}
    why = {chunk: problem.info() for chunk, problem in reading.failed.items()}
    return tuple(
        UnscoredPassage.of(fused, with_text=False, error=why.get(chunk))
        for chunk, fused in unread.items()
        if chunk not in read
    )


def _result(
    job: Job,
    handover: Handover,
    verdict: Verdict,
    scorer: tuple[str, Calibration],
    milliseconds: Mapping[str, float],
) -> QueryResult:
    passages = [Passage.of(judged) for judged in verdict.judged]
    candidates = handover.fusion.candidates
    reranker, calibration = scorer
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
        kept=tuple(passage for passage in passages if passage.decision is Decision.KEPT),
        dropped=tuple(passage for passage in passages if passage.decision is not Decision.KEPT),
        lost_in_fusion=handover.fusion.lost,
        candidates=len(candidates),
        cached=sum(judged.scored.cached for judged in verdict.judged),
        depth=handover.depth,
        stale_dropped=handover.stale_dropped,
        milliseconds={stage: round(value, 3) for stage, value in milliseconds.items()},
        embedder=handover.embedder,
        reranker=reranker,
        calibration=calibration.source,
        calibration_id=calibration.id,
    )


def _time_is_over(job: Job, clock: Clock) -> TimeIsOver | None:
    """Return what tells when reading has to end, so that judging and storing still come in time; None without hurry."""
    answer_by = job.query.answer_by
    if answer_by is None:
        return None
    share = RESERVE_SHARE * (answer_by - job.submitted_at)
    until = answer_by - min(max(share, LEAST_RESERVE_SECONDS), MOST_RESERVE_SECONDS)
    return lambda: clock.now() >= until


def since(moment: float, clock: Clock) -> float:
    """Return milliseconds since a moment that another machine's clock may have named; never below zero."""
    return max(0.0, (clock.now() - moment) * 1_000)


@contextmanager
def _timed(stage: str, milliseconds: dict[str, float]) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        milliseconds[stage] = (time.perf_counter() - started) * 1_000
