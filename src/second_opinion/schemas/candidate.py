"""Candidates on their way through the stages. Each type wraps the one before; no number is ever overwritten.

No field is called `score`: `bm25_score` and `knn_score` are Elasticsearch's, `fused_score` is reciprocal rank fusion's,
`raw_score` is the reranker's (a logit, or a provider's number), and `relevance` is the calibrated one, which
alone is fit for a floor.
"""

from pydantic import Field

from second_opinion.schemas.base import Record, Versioned
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
        cached: The raw score was known from before; it is the one that the reranker would give.
    """

    fused: FusedCandidate
    raw_score: float
    relevance: float
    cached: bool = False


class Retrieval(Record):
    """What stage one brings: candidates of both lists, and what it cost.

    Attributes:
        candidates: Every chunk of either list, in no meaningful order; fusion makes one.
        stale_dropped: Hits of committed documents that could not be resolved to their committed set.
        rounds: How many searches it took (1 unless documents changed underneath, or lists were too short).
        depth: How many hits of each list the last unfiltered search asked for.
        calibration_id: The collection's own calibration; None when it has none.
        calibrations: Its calibrations by model, where it has one for each.
        milliseconds: By step: embed, search, verify.
    """

    candidates: tuple[Candidate, ...]
    stale_dropped: int = 0
    rounds: int = 1
    depth: int = 0
    calibration_id: str | None = None
    calibrations: dict[str, str] = Field(default_factory=dict)
    milliseconds: dict[str, float] = Field(default_factory=dict)


class FusionLoss(Record):
    """A document that retrieval found but of which fusion left no chunk among the candidates.

    Attributes:
        fused_rank: Place of its best chunk in the whole fused order, behind the last candidate's.
        bm25_rank: Place of that chunk in the BM25 list; likewise `knn_rank`.
    """

    document_id: str
    fused_rank: int
    bm25_rank: int | None = None
    knn_rank: int | None = None


class Fusion(Record):
    """What fusion makes of both lists: the candidates in fused order, and the documents that did not get that far."""

    candidates: tuple[FusedCandidate, ...]
    lost: tuple[FusionLoss, ...] = ()


class Handover(Versioned):
    """What retrieve hands to rerank, through Redis.

    Attributes:
        calibration_id: The collection's own calibration; None when it has none.
        calibrations: Its calibrations by model, where it has one for each.
        embedder: Id and revision of the bi-encoder, as `model@revision`.
        query_cut: Tokens of the query that the bi-encoder read, where it had more; None when it was read whole.
        milliseconds: By step: queue_retrieve, embed, search, verify, fuse.
        handed_over_at: Unix seconds; what passes from here to the rerank is waiting.
    """

    fusion: Fusion
    stale_dropped: int = 0
    rounds: int = 1
    depth: int = 0
    calibration_id: str | None = None
    calibrations: dict[str, str] = Field(default_factory=dict)
    embedder: str
    query_cut: int | None = None
    milliseconds: dict[str, float] = Field(default_factory=dict)
    handed_over_at: float
