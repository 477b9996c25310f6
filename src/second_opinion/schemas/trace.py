"""Traces: what every query's candidates scored, so that a floor is chosen from evidence; and judgements of them."""

import unicodedata
from hashlib import blake2b
from typing import Final

from pydantic import Field

from second_opinion.schemas.base import Record, Versioned
from second_opinion.schemas.candidate import FusionLoss
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.usage import RerankerUsage
from second_opinion.schemas.verdict import CalibrationSource, Decision, Outcome, RefusalReason

HASH_BYTES: Final = 16
HISTOGRAM_BINS: Final = 20
"""Bins of best relevance in a spread: each 0.05 wide, the last with 1.0 in it."""


class TracedCandidate(Record):
    """One candidate of a query, with every stage's number but no text.

    Attributes:
        text_hash: Hash of the chunk's text: the same passage has it after its document was ingested anew.
        rank: Place in the final order, from 1.
    """

    rank: int
    decision: Decision
    document_id: str
    chunk_id: str
    text_hash: str
    relevance: float
    raw_score: float
    fused_rank: int
    fused_score: float
    bm25_rank: int | None = None
    bm25_score: float | None = None
    knn_rank: int | None = None
    knn_score: float | None = None


class Trace(Versioned):
    """All numbers of one answered or refused query.

    Attributes:
        at: Unix seconds when it was judged.
        query_hash: Hash of the question, case and spacing put aside.
        query: The question itself, unless the settings keep it out of traces.
        best_relevance: What decided between an answer and a refusal: the highest relevance of any candidate, or
            `query_relevance` where that is lower. A floor above it refuses the query.
        query_relevance: The chance that any candidate answers the query; None where nothing is known of it.
        relevances: Relevance, or `query_relevance` where that is lower, of those candidates that a floor of 0.0 would
            show, highest first. A candidate's relevance falls with its rank, so at any floor exactly those of them are
            shown that reach it.
        candidates: All that were judged, in final order; `unscored` is how many more nobody has read.
        cached: How many of the raw scores were known from before.
        usage: What asking providers cost.
    """

    job_id: str
    collection: str
    at: float
    query_hash: str
    query: str | None = None
    choices: QueryDefaults
    outcome: Outcome
    reason: RefusalReason | None = None
    best_relevance: float | None = None
    query_relevance: float | None = None
    relevances: tuple[float, ...] = ()
    kept: int = 0
    candidates: tuple[TracedCandidate, ...] = ()
    unscored: int = 0
    cached: int = 0
    lost_in_fusion: tuple[FusionLoss, ...] = ()
    depth: int = 0
    stale_dropped: int = 0
    milliseconds: dict[str, float] = Field(default_factory=dict)
    embedder: str
    reranker: str
    usage: tuple[RerankerUsage, ...] = ()
    calibration: CalibrationSource
    calibration_id: str | None = None

    def deciding(self, relevance: float) -> float:
        """Return what a floor has to be met with for a candidate of this relevance to be shown."""
        return deciding(relevance, self.query_relevance)

    @property
    def scorer(self) -> str:
        """Reranker and calibration: relevances of two scorers must not be compared."""
        return f"{self.reranker} {self.calibration_id or 'uncalibrated'}"


TracePlace = tuple[float, str]
"""A place in the list of traces, which has the newest first: the moment and the job."""


class TraceSummary(Record):
    """One line of a list of traces.

    Attributes:
        at: Unix seconds when it was judged.
        candidates: How many were judged; `kept` is how many were shown.
        milliseconds: From the submission to the verdict; None where it was not measured.
    """

    job_id: str
    collection: str
    at: float
    query: str | None = None
    outcome: Outcome
    reason: RefusalReason | None = None
    floor: float
    best_relevance: float | None = None
    query_relevance: float | None = None
    kept: int
    candidates: int
    milliseconds: float | None = None
    scorer: str

    @property
    def place(self) -> TracePlace:
        """Where it stands in the list."""
        return self.at, self.job_id


class Judgement(Versioned):
    """What a person says of one passage for one question. A later one on the same pair takes its place.

    Attributes:
        chunk_id: The chunk that was looked at; document and text hash find the passage again after a new ingest.
        job_id: The query in whose trace it was judged.
        judged_at: Unix seconds.
    """

    collection: str
    query_hash: str
    query: str | None = None
    document_id: str
    text_hash: str
    relevant: bool
    chunk_id: str
    job_id: str
    judged_at: float

    @property
    def key(self) -> str:
        """Id of the pair that is judged."""
        return _hash(f"{self.collection}\x00{self.query_hash}\x00{self.document_id}\x00{self.text_hash}")


class TraceScope(Record):
    """Which traces are meant; None means all.

    Attributes:
        scorer: Those whose relevances are of one kind.
        since: Unix seconds.
    """

    collection: str | None = None
    scorer: str | None = None
    since: float | None = None


class ScorerTraces(Record):
    """How many traces a scorer has, and when the newest was made (Unix seconds)."""

    scorer: str
    traces: int
    newest_at: float


class FloorCount(Record):
    """What a floor would have done: queries it answers, and passages it shows in all."""

    floor: float
    answered: int
    kept: int


class TraceSpread(Record):
    """How relevance is spread over traces.

    Attributes:
        traces: How many there are.
        candidates: How many candidates they have in all.
        answered: How many were answered when they were made; `kept` is how many passages they showed.
        histogram: Traces by best relevance, in `HISTOGRAM_BINS` bins; those without any candidate are in none.
        floors: A count for each floor that was asked for.
    """

    traces: int
    candidates: int
    answered: int
    kept: int
    histogram: tuple[int, ...]
    floors: tuple[FloorCount, ...]


class ReplayedQuery(Record):
    """A query that another floor would have ended otherwise: how many passages it showed, and would show."""

    job_id: str
    at: float
    query: str | None = None
    best_relevance: float | None
    floor: float
    kept: int
    kept_then: int


def deciding(relevance: float, query_relevance: float | None) -> float:
    """Return the lower of a candidate's relevance and its query's: a floor that it reaches, both reach."""
    return relevance if query_relevance is None else min(relevance, query_relevance)


def query_hash(text: str) -> str:
    """Return the hash of a question: the same for other case and spacing."""
    return _hash(" ".join(unicodedata.normalize("NFC", text).casefold().split()))


def text_hash(text: str) -> str:
    """Return the hash of a passage's text."""
    return _hash(text)


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=HASH_BYTES).hexdigest()
