"""Evaluation: a data set's queries as they were answered, and what that says of every stage."""

from enum import StrEnum

from pydantic import Field

from second_opinion.schemas.base import Record, Versioned
from second_opinion.schemas.candidate import FusionLoss
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.verdict import CalibrationSource, Decision, Outcome, RefusalReason


class AskedCandidate(Record):
    """One candidate of a query that was asked, with every stage's number but no text.

    Attributes:
        rank: Place in the final order, from 1.
    """

    document_id: str
    chunk_id: str
    rank: int
    decision: Decision
    relevance: float
    raw_score: float
    fused_rank: int
    fused_score: float
    bm25_rank: int | None = None
    knn_rank: int | None = None


class AskedQuery(Versioned):
    """A query of a data set as the system answered it: one JSON line in the work folder.

    Attributes:
        candidates: All of them, in final order.
        missing: Relevant documents that no reader could see when it was asked.
        query_relevance: Chance that any candidate is relevant, where there is a calibration for it.
        error: Why there is no answer; outcome is None then.
        milliseconds: By stage, as in the result.
    """

    query_id: str
    job_id: str | None = None
    candidates: tuple[AskedCandidate, ...] = ()
    lost_in_fusion: tuple[FusionLoss, ...] = ()
    missing: tuple[str, ...] = ()
    outcome: Outcome | None = None
    reason: RefusalReason | None = None
    best_relevance: float | None = None
    query_relevance: float | None = None
    choices: QueryDefaults = QueryDefaults()
    milliseconds: dict[str, float] = Field(default_factory=dict)
    embedder: str = ""
    reranker: str = ""
    calibration: CalibrationSource = CalibrationSource.NONE
    calibration_id: str | None = None
    error: ErrorInfo | None = None

    @property
    def deciding_relevance(self) -> float:
        """What is held against the floor for the query as a whole; 0.0 where there was no candidate."""
        best = 0.0 if self.best_relevance is None else self.best_relevance
        return best if self.query_relevance is None else min(best, self.query_relevance)


class MissClass(StrEnum):
    """Where an answerable query lost its relevant documents: the last stage that the best-placed one reached."""

    NOT_INDEXED = "not_indexed"
    RECALL_MISS = "recall_miss"
    FUSION_MISS = "fusion_miss"
    RANKING_MISS = "ranking_miss"
    FLOOR_MISS = "floor_miss"
    HIT = "hit"
