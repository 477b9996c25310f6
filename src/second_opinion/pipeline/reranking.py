"""Reranking: the second opinion. A cross-encoder reads query and passage together; calibration makes it a relevance.

What does not come back whole and finite is an error. It is never a low score, and never a pass.
"""

import math
from collections.abc import Sequence

from second_opinion.pipeline.ports import Calibration, Guard, Reranker, no_guard
from second_opinion.schemas.candidate import FusedCandidate, ScoredCandidate
from second_opinion.schemas.chunk import passage_text
from second_opinion.schemas.errors import RelevanceMissing, RerankUnavailable


def rerank(
    query: str,
    candidates: Sequence[FusedCandidate],
    *,
    reranker: Reranker,
    calibration: Calibration,
    guard: Guard = no_guard,
) -> tuple[ScoredCandidate, ...]:
    """Return every candidate with its raw score and its relevance in [0, 1], in the order they came.

    Without candidates the model is not asked.

    Raises:
        RerankUnavailable: If the reranker cannot answer, or answers with another number of scores.
        RelevanceMissing: If a raw score or a relevance is not a usable number.
    """
    if not candidates:
        return ()
    chunks = [fused.candidate.chunk for fused in candidates]
    passages = [passage_text(chunk.title, chunk.headings, chunk.text) for chunk in chunks]
    raw = reranker.score(query, passages, guard=guard)
    if len(raw) != len(passages):
        raise RerankUnavailable(f"{reranker.spec.model} returned {len(raw)} scores for {len(passages)} passages")
    for fused, score in zip(candidates, raw, strict=True):
        _require(math.isfinite(score), fused, f"a raw score of {score}")
    relevance = calibration.relevance(raw)
    if len(relevance) != len(raw):
        raise RelevanceMissing(f"the calibration returned {len(relevance)} relevances for {len(raw)} scores")
    for fused, value in zip(candidates, relevance, strict=True):
        _require(0.0 <= value <= 1.0, fused, f"a relevance of {value}")
    return tuple(
        ScoredCandidate(fused=fused, raw_score=score, relevance=value)
        for fused, score, value in zip(candidates, raw, relevance, strict=True)
    )


def _require(usable: bool, fused: FusedCandidate, found: str) -> None:
    if not usable:
        raise RelevanceMissing(f"chunk {fused.candidate.chunk.chunk_id} has {found}, which no floor can be applied to")
