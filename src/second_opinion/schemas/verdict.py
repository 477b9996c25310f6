"""Verdicts: what is shown to the caller, or the honest refusal, with every number that led to it."""

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, computed_field

from second_opinion.schemas.base import Record, Versioned
from second_opinion.schemas.candidate import FusedCandidate, FusionLoss, ScoredCandidate
from second_opinion.schemas.document import Metadata
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.usage import RerankerUsage


class Outcome(StrEnum):
    """How a query ends when nothing failed.

    `unjudged` is neither of the others: no second opinion could be had, and the query chose retrieval's order instead.
    """

    ANSWERED = "answered"
    REFUSED = "refused"
    UNJUDGED = "unjudged"


class RefusalReason(StrEnum):
    """Why nothing is shown."""

    NO_CANDIDATES = "no_candidates"
    BELOW_FLOOR = "below_floor"
    QUERY_BELOW_FLOOR = "query_below_floor"


class Decision(StrEnum):
    """What became of one candidate.

    `query_below_floor` cleared the floor itself, but its query did not. `unscored` was not read: no time was left for
    it, or no reranker could be had.
    """

    KEPT = "kept"
    BELOW_FLOOR = "below_floor"
    QUERY_BELOW_FLOOR = "query_below_floor"
    OVER_DOCUMENT_CAP = "over_document_cap"
    OVER_TOP_K = "over_top_k"
    UNSCORED = "unscored"


class CalibrationSource(StrEnum):
    """Where the calibration behind a relevance comes from."""

    NONE = "none"
    SHIPPED = "shipped"
    COLLECTION = "collection"


class JudgedCandidate(Record):
    """A scored candidate and what became of it.

    Attributes:
        rank: Its place in the final order by `raw_score`, from 1, dropped ones included.
    """

    scored: ScoredCandidate
    rank: int
    decision: Decision


class Verdict(Record):
    """The judgement over all candidates of one query.

    Attributes:
        best_relevance: The highest relevance of any candidate; None when there were none.
        query_relevance: The chance that any candidate answers the query; None where nothing is known of it.
        judged: All candidates in their final order, kept and dropped.
    """

    outcome: Outcome
    reason: RefusalReason | None = None
    sentence: str
    floor: float
    best_relevance: float | None = None
    query_relevance: float | None = None
    judged: tuple[JudgedCandidate, ...] = ()


class FoundPassage(Record):
    """A candidate as a caller reads it: where it stands, and retrieval's numbers under their own names."""

    document_id: str
    chunk_id: str
    title: str
    uri: str
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    ordinal: int
    previous_chunk_id: str | None
    next_chunk_id: str | None
    metadata: Metadata = Field(default_factory=dict)
    truncated: bool = False
    fused_rank: int
    fused_score: float
    bm25_rank: int | None
    bm25_score: float | None
    knn_rank: int | None
    knn_score: float | None


class Passage(FoundPassage):
    """One judged candidate: `rank` is its place in the final order by `raw_score`, from 1."""

    rank: int
    decision: Decision
    relevance: float
    raw_score: float

    @classmethod
    def of(cls, judged: JudgedCandidate) -> Self:
        """Flatten a judged candidate; a dropped one leaves its text behind, so that results stay small."""
        return cls(
            **_found(judged.scored.fused, with_text=judged.decision is Decision.KEPT),
            rank=judged.rank,
            decision=judged.decision,
            relevance=judged.scored.relevance,
            raw_score=judged.scored.raw_score,
        )


class UnscoredPassage(FoundPassage):
    """A candidate that no reranker has read. It has no relevance, so no floor can let it through: it is never kept.

    Attributes:
        error: Why the reranker failed on this text; None where it did not try.
    """

    decision: Literal[Decision.UNSCORED] = Decision.UNSCORED
    error: ErrorInfo | None = None

    @classmethod
    def of(cls, fused: FusedCandidate, *, with_text: bool, error: ErrorInfo | None = None) -> Self:
        """Flatten a candidate, with or without its text."""
        return cls(**_found(fused, with_text=with_text), error=error)


def _found(fused: FusedCandidate, *, with_text: bool) -> dict[str, Any]:
    candidate, chunk = fused.candidate, fused.candidate.chunk
    return {
        "document_id": chunk.document_id,
        "chunk_id": chunk.chunk_id,
        "title": chunk.title,
        "uri": chunk.uri,
        "headings": chunk.headings,
        "text": chunk.text if with_text else "",
        "start": chunk.start,
        "end": chunk.end,
        "ordinal": chunk.ordinal,
        "previous_chunk_id": chunk.previous_chunk_id,
        "next_chunk_id": chunk.next_chunk_id,
        "metadata": chunk.metadata if with_text else {},
        "truncated": chunk.truncated,
        "fused_rank": fused.fused_rank,
        "fused_score": fused.fused_score,
        "bm25_rank": candidate.bm25_rank,
        "bm25_score": candidate.bm25_score,
        "knn_rank": candidate.knn_rank,
        "knn_score": candidate.knn_score,
    }


class QueryResult(Versioned):
    """The answer to a query job, or its refusal; or, when it is `unjudged`, what retrieval found.

    Attributes:
        kept: The passages that cleared the floor, best first; empty unless the query was answered.
        dropped: The other judged candidates, without their text, in final order.
        unscored: Candidates that nobody has read, in fused order: those that the deadline left and those whose text
            the reranker fails on (with their `error`), without their text, or all of them when the query is
            `unjudged`, the first `top_k` with their text.
        query_tokens_read: How many tokens of the question the `embedder` and the `reranker` have read, for each that
            reads fewer than it has; empty when it was read whole.
        query_relevance: The chance that any candidate answers the query, the best of so many being high by chance at
            times; below the floor the query is refused. None when the calibration has no query level.
        lost_in_fusion: Documents that were found but have no candidate, so that `why` can tell.
        candidates: How many candidates there were to read; `scored` is how many of them were.
        cached: How many of the raw scores were known from before, so that nothing had to be computed for them.
        depth: How many hits of each list were asked for.
        milliseconds: By stage: queue_retrieve, embed, search, verify, fuse, queue_rerank, rerank, judge, and total.
        stale_dropped: Hits left out because their document changed while it was read.
        embedder: Id and revision of the bi-encoder.
        reranker: Id and revision of the model that scored, empty when none did.
        judged_by: The name of that reranker in the settings.
        unavailable: Names of the rerankers that were asked first and could not be had, or, when it is `unjudged`, of
            all that were asked; `unavailable_because` has the error code of each.
        usage: What asking providers cost, one entry for each that cost something, those asked in vain included.
        calibration: Where the calibration comes from; `calibration_id` names it.
    """

    job_id: str
    collection: str
    query: str
    outcome: Outcome
    reason: RefusalReason | None = None
    sentence: str
    floor: float
    best_relevance: float | None
    query_relevance: float | None = None
    kept: tuple[Passage, ...]
    dropped: tuple[Passage, ...]
    unscored: tuple[UnscoredPassage, ...] = ()
    lost_in_fusion: tuple[FusionLoss, ...] = ()
    candidates: int
    cached: int = 0
    depth: int = 0
    stale_dropped: int = 0
    milliseconds: dict[str, float]
    embedder: str
    reranker: str
    judged_by: str = ""
    unavailable: tuple[str, ...] = ()
    unavailable_because: dict[str, str] = Field(default_factory=dict)
    usage: tuple[RerankerUsage, ...] = ()
    query_tokens_read: dict[str, int] = Field(default_factory=dict)
    calibration: CalibrationSource
    calibration_id: str | None = None

    @computed_field  # type: ignore[prop-decorator] # mypy does not know of it on properties
    @property
    def reranked(self) -> bool:
        """False when no second opinion could be had."""
        return self.outcome is not Outcome.UNJUDGED

    @computed_field  # type: ignore[prop-decorator]
    @property
    def calibrated(self) -> bool:
        """True when relevance is a probability by some calibration, and not only an order."""
        return self.calibration is not CalibrationSource.NONE

    @computed_field  # type: ignore[prop-decorator]
    @property
    def scored(self) -> int:
        """How many of the candidates a reranker has read."""
        return self.candidates - len(self.unscored)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def partial(self) -> bool:
        """True when the deadline came before every candidate was read."""
        return self.reranked and any(one.error is None for one in self.unscored)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def unreadable(self) -> int:
        """How many of the candidates the reranker could not read, each named with its error in `unscored`."""
        return sum(one.error is not None for one in self.unscored)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def query_truncated(self) -> bool:
        """True when the question is longer than a model reads, so that its end played no part."""
        return bool(self.query_tokens_read)
