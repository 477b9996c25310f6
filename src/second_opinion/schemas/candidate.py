"""Candidates on their way through the stages. Each type wraps the one before; no number is ever overwritten.

No field is called `score`: `bm25_score` and `knn_score` are Elasticsearch's, `fused_score` is reciprocal rank fusion's,
`raw_score` is the reranker's (a logit, or a provider's number), and `relevance` is the calibrated one, which
alone is fit for a floor.
"""

from pydantic import Field

from second_opinion.schemas.base import Record
from second_opinion.schemas.chunk import ChunkHit


class Candidate(Record):
    """A chunk that retrieval found, with its place in each list that holds it (ranks from 1)."""

    chunk: ChunkHit
    bm25_rank: int | None = None
    bm25_score: float | None = None
    knn_rank: int | None = None
    knn_score: float | None = None


class FusedCandidate(Record):
    """A candidate with its place in the fused order."""

    candidate: Candidate
    fused_rank: int
    fused_score: float


class ScoredCandidate(Record):
    """A fused candidate that the reranker has read.

    Attributes:
        raw_score: What the reranker said, on its own scale; the final order follows it.
        relevance: The calibrated probability in [0, 1] that the passage answers the query; the floor reads it alone.
    """

    fused: FusedCandidate
    raw_score: float
    relevance: float


class Retrieval(Record):
    """What stage one brings: candidates of both lists, and what it cost.

    Attributes:
        candidates: Every chunk of either list, in no meaningful order; fusion makes one.
        stale_dropped: Hits of committed documents that could not be resolved to their committed set.
        rounds: How many searches it took (1 unless documents changed underneath, or lists were too short).
        milliseconds: By step: embed, search, verify.
    """

    candidates: tuple[Candidate, ...]
    stale_dropped: int = 0
    rounds: int = 1
    milliseconds: dict[str, float] = Field(default_factory=dict)
