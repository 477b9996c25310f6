"""Evaluation: a data set's queries as they were answered, and what that says of every stage."""

from enum import StrEnum

from pydantic import Field

from second_opinion.schemas.base import Record, Versioned
from second_opinion.schemas.candidate import FusionLoss
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.floor_choice import Estimate
from second_opinion.schemas.trace import deciding
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
        return deciding(0.0 if self.best_relevance is None else self.best_relevance, self.query_relevance)


class MissClass(StrEnum):
    """Where an answerable query lost its relevant documents: the last stage that the best-placed one reached."""

    NOT_INDEXED = "not_indexed"
    RECALL_MISS = "recall_miss"
    FUSION_MISS = "fusion_miss"
    RANKING_MISS = "ranking_miss"
    FLOOR_MISS = "floor_miss"
    HIT = "hit"


class MissedQuery(Record):
    """An answerable query and where it lost its relevant documents, hits included.

    Attributes:
        best_rank: Place of the best relevant candidate in the final order; None when there is none.
        best_relevance: Its relevance.
    """

    query_id: str
    text: str
    miss: MissClass
    best_rank: int | None = None
    best_relevance: float | None = None
    job_id: str | None = None


class StageFigures(Record):
    """How well one stage orders documents; every share is a mean over queries with a relevant document."""

    stage: str
    ndcg_10: Estimate
    mrr_10: Estimate
    recall_10: Estimate
    recall_100: Estimate


class Difference(Record):
    """nDCG@10 of the final order minus that of another stage, on the same queries (paired)."""

    over: str
    ndcg_10: Estimate


class ReliabilityBin(Record):
    """Pairs of like relevance: their mean relevance, and the share of them that is relevant."""

    pairs: int
    mean_relevance: float
    observed: float


class CalibrationFigures(Record):
    """How far relevance is from what is observed, over some pairs.

    Attributes:
        pairs: How many there are; `queries` is of how many queries they come.
        observed: Share of them that is relevant; their mean relevance stands beside it.
        ece: Equal-mass expected calibration error over `bins`; equal relevances stay in one bin.
        ece_by_chance: What it would be on so few pairs if these relevances were right.
        brier: Mean squared difference of relevance and label.
    """

    pairs: int
    queries: int
    mean_relevance: float | None = None
    observed: Estimate | None = None
    ece: Estimate | None = None
    ece_by_chance: float | None = None
    brier: Estimate | None = None
    bins: tuple[ReliabilityBin, ...] = ()


class CalibrationBlock(Record):
    """The same pairs with unjudged ones as irrelevant, and with them left out."""

    unjudged_irrelevant: CalibrationFigures
    judged_only: CalibrationFigures


class CalibrationReport(Record):
    """Calibration of relevance.

    Attributes:
        top_1: The first candidate of each query.
        from_0_1: All candidates with a relevance of at least 0.1.
        from_0_3_to_0_5: All candidates with a relevance in [0.3, 0.5]: 30 to 50 % of them should be relevant.
        first_from_0_3_to_0_5: Those of them within `top_k`, which a floor of 0.3 would show.
        query_level: Chance that any candidate is relevant; None without a calibration for it.
    """

    top_1: CalibrationBlock
    from_0_1: CalibrationBlock
    from_0_3_to_0_5: CalibrationBlock
    first_from_0_3_to_0_5: CalibrationBlock
    query_level: CalibrationFigures | None = None


class RefusalFigures(Record):
    """Refusing what has no answer, over queries of which that is known; to refuse is the positive class.

    Attributes:
        wrongly_refused: Share of the answerable queries that are refused.
        auroc: Chance that an answerable query has a higher best relevance than an unanswerable one.
    """

    answerable: int
    unanswerable: int
    refused: int
    precision: Estimate | None = None
    recall: Estimate | None = None
    f1: Estimate | None = None
    wrongly_refused: Estimate | None = None
    auroc: Estimate | None = None


class FloorPoint(Record):
    """What one floor does with the queries: shares in [0, 1].

    Attributes:
        answered: Share of queries that it answers.
        kept_per_query: Passages shown for a query, on average.
        precision: Share of relevant ones among the passages shown, unjudged ones irrelevant.
        hits: Share of answerable queries with a relevant document shown.
        refusal_f1: F1 of refusing what has no answer.
        answered_rightly: Share of answered queries with a relevant document shown.
    """

    floor: float
    answered: float
    kept_per_query: float
    precision: float | None = None
    hits: float | None = None
    refusal_f1: float | None = None
    answered_rightly: float | None = None


class Latency(Record):
    """Milliseconds that a stage took, over the queries that were answered."""

    stage: str
    p50: float
    p95: float


class HistogramBin(Record):
    """Candidates with a relevance in [low, low + 0.05), by label."""

    low: float
    relevant: int
    irrelevant: int
    unjudged: int


class Corpus(Record):
    """What was in the collection when the queries were asked.

    Attributes:
        documents: Documents of the data set; `searchable` is how many of them readers saw.
        distractors: Documents of another corpus that were added.
        others: Documents in the collection that are neither.
        failures: Those that did not get in, by id, with the error's sentence.
    """

    documents: int = 0
    searchable: int = 0
    distractors: int = 0
    others: int = 0
    failures: dict[str, str] = Field(default_factory=dict)


class EvaluationReport(Versioned):
    """What a data set, or several pooled, says of every stage. All intervals are 95 % by bootstrap over queries.

    Attributes:
        datasets: The data sets it is about. Of several, ranking measures are means of the sets' means.
        queries: How many were asked; `failed` of them have no answer and count in nothing else.
        ranked_queries: Those with a relevant document.
        differences: The final order against the fused order and against the best single list.
        best_single: The single list with the better nDCG@10 (of several sets: of each set its own).
        scorers: Reranker and calibration of the answers.
    """

    name: str
    datasets: tuple[str, ...]
    split: str
    collection: str = ""
    corpus: Corpus = Corpus()
    choices: QueryDefaults = QueryDefaults()
    queries: int
    failed: int
    failures: dict[str, str] = Field(default_factory=dict)
    ranked_queries: int
    stages: tuple[StageFigures, ...]
    differences: tuple[Difference, ...]
    best_single: str | None = None
    refusal: RefusalFigures | None
    calibration: CalibrationReport
    misses: dict[MissClass, int]
    floors: tuple[FloorPoint, ...] = ()
    histogram: tuple[HistogramBin, ...] = ()
    latency: tuple[Latency, ...] = ()
    embedder: str = ""
    scorers: tuple[str, ...] = ()
