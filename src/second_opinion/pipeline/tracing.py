"""Tracing: from an answer to the record of how it came about."""

from collections.abc import Sequence

from second_opinion.pipeline.floor import decide
from second_opinion.schemas.candidate import FusedCandidate
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.job import Job
from second_opinion.schemas.trace import Trace, TracedCandidate, deciding, query_hash, text_hash
from second_opinion.schemas.verdict import Decision, Passage, QueryResult


def trace(
    job: Job, result: QueryResult, candidates: Sequence[FusedCandidate], *, at: float, with_query: bool = True
) -> Trace:
    """Return the trace of a judged query.

    Args:
        job: The query with the choices that it was judged by.
        result: The answer or refusal.
        candidates: What the reranker read, for the hashes of their texts.
        at: Unix seconds.
        with_query: Keep the question's text, not only its hash.
    """
    chunks = (fused.candidate.chunk for fused in candidates)
    hashes = {chunk.chunk_id: text_hash(chunk.text) for chunk in chunks}
    passages = sorted((*result.kept, *result.dropped), key=lambda passage: passage.rank)
    choices = job.query.choices
    decided = [deciding(passage.relevance, result.query_relevance) for passage in passages]
    shown = showable([(passage.document_id, passage.relevance) for passage in passages], choices)
    return Trace(
        job_id=result.job_id,
        collection=result.collection,
        at=at,
        query_hash=query_hash(result.query),
        query=result.query if with_query else None,
        choices=choices,
        outcome=result.outcome,
        reason=result.reason,
        best_relevance=max(decided, default=None),
        query_relevance=result.query_relevance,
        relevances=tuple(value for value, is_shown in zip(decided, shown, strict=True) if is_shown),
        kept=len(result.kept),
        unscored=len(result.unscored),
        cached=result.cached,
        candidates=tuple(_traced(passage, hashes[passage.chunk_id]) for passage in passages),
        lost_in_fusion=result.lost_in_fusion,
        depth=result.depth,
        stale_dropped=result.stale_dropped,
        milliseconds=result.milliseconds,
        embedder=result.embedder,
        reranker=result.reranker,
        usage=result.usage,
        calibration=result.calibration,
        calibration_id=result.calibration_id,
    )


def showable(ordered: Sequence[tuple[str, float]], choices: QueryDefaults) -> list[bool]:
    """Tell of each (document, relevance) in final order whether it is shown once the floor lets it through.

    Relevance falls with the rank, so a floor keeps a head of the list. The other rules look only at what stands before
    a candidate, so what they decide at a floor of 0.0 they decide at every floor that the candidate reaches.
    """
    decisions = decide(ordered, choices.model_copy(update={"floor": 0.0}))
    return [decision is Decision.KEPT for decision in decisions]


def _traced(passage: Passage, text: str) -> TracedCandidate:
    shared = passage.model_dump(include=_SHARED)
    return TracedCandidate(text_hash=text, **shared)


_SHARED = set(TracedCandidate.model_fields) - {"text_hash"}
