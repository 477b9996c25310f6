"""Nouns of the query path for tests: whole and valid, with only what a test is about said by it."""

from collections.abc import Sequence
from typing import Any

from second_opinion.schemas.candidate import Candidate, FusedCandidate, Fusion, Handover, ScoredCandidate
from second_opinion.schemas.chunk import ChunkHit, chunk_id
from second_opinion.schemas.collection import DEFAULT_COLLECTION, QueryDefaults
from second_opinion.schemas.document import Metadata, document_key
from second_opinion.schemas.query import Filter, Query
from second_opinion.schemas.verdict import CalibrationSource, Outcome, QueryResult


def a_hit(
    document_id: str = "leaflet",
    ordinal: int = 0,
    *,
    write_set: str = "g.1",
    text: str = "Take one tablet.",
    metadata: Metadata | None = None,
) -> ChunkHit:
    """Return a chunk as the index gives it back."""
    key = document_key(DEFAULT_COLLECTION, document_id)
    return ChunkHit(
        chunk_id=chunk_id(key, write_set, ordinal),
        key=key,
        write_set=write_set,
        index="memory-chunks-default-000001",
        collection=DEFAULT_COLLECTION,
        document_id=document_id,
        title=document_id.title(),
        text=text,
        start=0,
        end=len(text),
        ordinal=ordinal,
        count=ordinal + 1,
        metadata=metadata or {},
    )


def a_candidate(
    document_id: str = "leaflet", ordinal: int = 0, *, bm25: int | None = None, knn: int | None = None
) -> Candidate:
    """Return a candidate with these ranks; scores fall with the rank."""
    return Candidate(
        chunk=a_hit(document_id, ordinal),
        bm25_rank=bm25,
        bm25_score=None if bm25 is None else 20.0 / bm25,
        knn_rank=knn,
        knn_score=None if knn is None else 1.0 / knn,
    )


def a_fused(rank: int, document_id: str | None = None, ordinal: int = 0) -> FusedCandidate:
    """Return the fused candidate of a rank, of a document of its own unless one is named."""
    candidate = a_candidate(document_id or f"document-{rank}", ordinal, bm25=rank, knn=rank)
    return FusedCandidate(candidate=candidate, fused_rank=rank, fused_score=2.0 / (60 + rank))


def a_scored(
    rank: int, *, raw_score: float, relevance: float, document_id: str | None = None, ordinal: int = 0
) -> ScoredCandidate:
    """Return a scored candidate."""
    return ScoredCandidate(fused=a_fused(rank, document_id, ordinal), raw_score=raw_score, relevance=relevance)


def a_query(
    text: str = "how many tablets?", *, job_id: str = "job-1", filters: Sequence[Filter] = (), **choices: Any
) -> Query:
    """Return a query; `choices` are fields of `QueryDefaults`."""
    return Query(
        job_id=job_id,
        text=text,
        collection=DEFAULT_COLLECTION,
        filters=tuple(filters),
        choices=QueryDefaults(**choices),
    )


def a_handover(*candidates: FusedCandidate) -> Handover:
    """Return a handover of these candidates."""
    return Handover(fusion=Fusion(candidates=candidates), embedder="word-embedder@1", handed_over_at=1_700_000_000.0)


def a_result(job_id: str = "job-1") -> QueryResult:
    """Return a refusal without candidates."""
    return QueryResult(
        job_id=job_id,
        collection=DEFAULT_COLLECTION,
        query="how many tablets?",
        outcome=Outcome.REFUSED,
        sentence="Nothing was found that could be judged.",
        floor=0.4,
        best_relevance=None,
        kept=(),
        dropped=(),
        candidates=0,
        milliseconds={"total": 12.5},
        embedder="word-embedder@1",
        reranker="word-reranker@1",
        calibration=CalibrationSource.NONE,
    )
