"""Reranking: the second opinion. A cross-encoder reads query and passage together; calibration makes it a relevance.

What does not come back whole and finite is an error. It is never a low score, and never a pass.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from second_opinion.pipeline.ports import (
    Calibration,
    Guard,
    Meter,
    MeteredReranker,
    Reranker,
    ScoreCache,
    TimedReranker,
    TimeIsOver,
    no_guard,
    no_meter,
)
from second_opinion.schemas.candidate import FusedCandidate, ScoredCandidate
from second_opinion.schemas.chunk import passage_text
from second_opinion.schemas.errors import DeadlineExceeded, OpinionError, RelevanceMissing, RerankUnavailable


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reranker made of candidates.

    Attributes:
        scored: Those that it has read, in the order they came.
        failed: By chunk id, why it could not read the others that it tried; what no time was left for is in neither.
    """

    scored: tuple[ScoredCandidate, ...] = ()
    failed: Mapping[str, OpinionError] = field(default_factory=dict)


def rerank(  # noqa: PLR0913 - all but two by name
    query: str,
    candidates: Sequence[FusedCandidate],
    *,
    reranker: Reranker,
    calibration: Calibration,
    guard: Guard = no_guard,
    is_over: TimeIsOver | None = None,
    known: ScoreCache | None = None,
    meter: Meter = no_meter,
) -> Reading:
    """Return every candidate with its raw score and its relevance in [0, 1], in the order they came.

    Without candidates the model is not asked. With `is_over`, a reranker that can stop leaves out the candidates that
    it has not read by then; another one answers in time, or not at all. What is `known` of its scores it is not asked
    for, and what it says is kept there. A passage that occurs twice is read once. The meter hears what answers cost.
    A passage on which a local reranker fails is left out and named; the others are scored.

    Raises:
        TextUnreadable: If a local reranker fails on every passage that it reads.
        DeadlineExceeded: If the time is over before any candidate was read.
        RerankUnavailable: If the reranker cannot answer, or answers with another number of scores.
        RelevanceMissing: If a raw score or a relevance is not a usable number.
    """
    if not candidates:
        return Reading()
    chunks = [fused.candidate.chunk for fused in candidates]
    passages = [passage_text(chunk.title, chunk.headings, chunk.text) for chunk in chunks]
    cached = _cached(query, passages, known)
    scorer = _Scorer(reranker, guard, is_over, meter)
    computed, unreadable = _computed(query, [passage for passage in passages if passage not in cached], scorer)
    found = {**cached, **computed}
    read = [(fused, passage) for fused, passage in zip(candidates, passages, strict=True) if passage in found]
    if not read:
        raise next(iter(unreadable.values()), None) or _nothing_in_time(len(candidates))
    for fused, passage in read:
        _require(math.isfinite(found[passage]), fused, f"a raw score of {found[passage]}")
    if known is not None:
        known.put(query, list(computed), list(computed.values()))
    relevance = calibration.relevance([found[passage] for _, passage in read])
    if len(relevance) != len(read):
        raise RelevanceMissing(f"the calibration returned {len(relevance)} relevances for {len(read)} scores")
    for (fused, _), value in zip(read, relevance, strict=True):
        _require(0.0 <= value <= 1.0, fused, f"a relevance of {value}")
    return Reading(
        scored=tuple(
            ScoredCandidate(fused=fused, raw_score=found[passage], relevance=value, cached=passage in cached)
            for (fused, passage), value in zip(read, relevance, strict=True)
        ),
        failed={
            chunk.chunk_id: unreadable[passage]
            for chunk, passage in zip(chunks, passages, strict=True)
            if passage in unreadable
        },
    )


def _cached(query: str, passages: Sequence[str], known: ScoreCache | None) -> dict[str, float]:
    if known is None:
        return {}
    found = zip(passages, known.get(query, passages), strict=True)
    return {passage: score for passage, score in found if score is not None and math.isfinite(score)}


@dataclass(frozen=True, slots=True)
class _Scorer:
    """A reranker with what limits and counts its work on one query."""

    reranker: Reranker
    guard: Guard
    is_over: TimeIsOver | None
    meter: Meter

    def score(self, query: str, passages: Sequence[str]) -> Sequence[float | OpinionError | None]:
        """Return a raw score for each passage, None for those not read in time, an error for those not readable."""
        is_over = self.is_over
        if isinstance(self.reranker, TimedReranker):
            return self.reranker.score_in_time(query, passages, is_over=is_over, guard=self.guard)
        if is_over is None:
            return self._whole(query, passages, self.guard)

        def in_time() -> None:
            self.guard()
            if is_over():
                raise _nothing_in_time(len(passages))

        in_time()
        return self._whole(query, passages, in_time)

    def _whole(self, query: str, passages: Sequence[str], guard: Guard) -> Sequence[float]:
        if isinstance(self.reranker, MeteredReranker):
            return self.reranker.score_metered(query, passages, meter=self.meter, guard=guard)
        return self.reranker.score(query, passages, guard=guard)


def _computed(query: str, passages: Sequence[str], scorer: _Scorer) -> tuple[dict[str, float], dict[str, OpinionError]]:
    """Return a score for each of these passages that was read in time, or why it could not be; each is read once."""
    texts = list(dict.fromkeys(passages))
    if not texts:
        scorer.guard()
        return {}, {}
    scores = scorer.score(query, texts)
    if len(scores) != len(texts):
        model = scorer.reranker.spec.model
        raise RerankUnavailable(f"{model} returned {len(scores)} scores for {len(texts)} passages")
    outcomes = dict(zip(texts, scores, strict=True))
    failed = {text: one for text, one in outcomes.items() if isinstance(one, OpinionError)}
    return {text: one for text, one in outcomes.items() if isinstance(one, float | int)}, failed


def _nothing_in_time(candidates: int) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"none of {candidates} candidates could be read before the deadline",
        hint="Allow more time (--deadline-ms), or add rerank workers: opinion status",
    )


def _require(usable: bool, fused: FusedCandidate, found: str) -> None:
    if not usable:
        raise RelevanceMissing(f"chunk {fused.candidate.chunk.chunk_id} has {found}, which no floor can be applied to")
