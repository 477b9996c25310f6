"""Passages on their way into a framework's documents: which are shown, and what is said of each."""

from collections.abc import Sequence
from typing import Any

from second_opinion.schemas.chunk import CONTEXT_SEPARATOR
from second_opinion.schemas.verdict import FoundPassage, Outcome, Passage, QueryResult


def shown_passages(result: QueryResult) -> Sequence[FoundPassage]:
    """Return the passages to show: those kept, or, when nobody judged, those that have their text."""
    if result.outcome is Outcome.UNJUDGED:
        return [one for one in result.unscored if one.text]
    return result.kept


def relevance_of(passage: FoundPassage) -> float | None:
    """Return the calibrated relevance; None when nobody judged the passage."""
    return passage.relevance if isinstance(passage, Passage) else None


def passage_details(result: QueryResult, passage: FoundPassage) -> dict[str, Any]:
    """Return what there is to say of a passage, as JSON values.

    `metadata` is the document's own, kept apart so that a field of it is never mistaken for one of ours. `start` and
    `end` are offsets into the document's text; `trace_id` is the job that `why` and `opinion trace` take.
    """
    return {
        "relevance": relevance_of(passage),
        "document_id": passage.document_id,
        "chunk_id": passage.chunk_id,
        "title": passage.title,
        "section": CONTEXT_SEPARATOR.join(passage.headings),
        "source": passage.uri or passage.document_id,
        "start": passage.start,
        "end": passage.end,
        "ordinal": passage.ordinal,
        "previous_chunk_id": passage.previous_chunk_id,
        "next_chunk_id": passage.next_chunk_id,
        "rank": passage.rank if isinstance(passage, Passage) else passage.fused_rank,
        "raw_score": passage.raw_score if isinstance(passage, Passage) else None,
        "collection": result.collection,
        "floor": result.floor,
        "trace_id": result.job_id,
        "reranker": result.reranker,
        "calibration": result.calibration.value,
        "calibration_id": result.calibration_id,
        "partial": result.partial,
        "metadata": dict(passage.metadata),
    }
