"""Collections: a named set of documents with its own settings and its own index."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from second_opinion.schemas.base import Record, Request, Versioned

DEFAULT_COLLECTION: Final = "default"

_NAME: Final = r"[a-z0-9][a-z0-9_-]{0,62}"
NAME_PATTERN: Final = f"^{_NAME}$"
CollectionName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
OnUnavailable = Literal["fail", "wait", "fused"]
RerankerName = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
RerankerNames = Annotated[str, StringConstraints(pattern=f"^{_NAME}(,{_NAME}){{0,7}}$")]
"""One name, or several separated by commas: each is asked when those before it cannot be had."""
Relevance = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class QueryDefaults(Record):
    """How a query is answered when it does not say otherwise.

    Attributes:
        floor: The relevance below which nothing is shown, in [0, 1].
        top_k: The most passages to keep.
        candidates: How many fused candidates the reranker reads.
        chunks_per_document: The most chunks of one document to keep.
        bm25_weight: Weight of the BM25 list in reciprocal rank fusion.
        knn_weight: Weight of the kNN list in reciprocal rank fusion.
        reranker: Which of the workers' rerankers is asked, and which after it; None leaves it to the workers.
        on_unavailable: What happens when no reranker can be had: the job fails, waits for one until it expires, or
            ends with retrieval's own order, judged by nobody.
    """

    floor: Relevance = 0.4
    top_k: int = Field(default=10, ge=1, le=100)
    candidates: int = Field(default=100, ge=1, le=1_000)
    chunks_per_document: int = Field(default=3, ge=1, le=1_000)
    bm25_weight: float = Field(default=1.0, ge=0.0, le=100.0, allow_inf_nan=False)
    knn_weight: float = Field(default=1.0, ge=0.0, le=100.0, allow_inf_nan=False)
    reranker: RerankerNames | None = None
    on_unavailable: OnUnavailable = "fail"

    @model_validator(mode="after")
    def _some_list_counts(self) -> Self:
        if self.bm25_weight == 0.0 and self.knn_weight == 0.0:
            raise ValueError("bm25_weight and knn_weight cannot both be 0")
        return self


class QueryOverrides(Request):
    """The same choices where each may be left open: what a query or a collection says of its own.

    None means "not said", so 0.0 is a floor like any other.
    """

    floor: Relevance | None = None
    top_k: int | None = Field(default=None, ge=1, le=100)
    candidates: int | None = Field(default=None, ge=1, le=1_000)
    chunks_per_document: int | None = Field(default=None, ge=1, le=1_000)
    bm25_weight: float | None = Field(default=None, ge=0.0, le=100.0, allow_inf_nan=False)
    knn_weight: float | None = Field(default=None, ge=0.0, le=100.0, allow_inf_nan=False)
    reranker: RerankerNames | None = None
    on_unavailable: OnUnavailable | None = None

    def over(self, defaults: QueryDefaults) -> QueryDefaults:
        """Return `defaults` with what is said here in its place."""
        said = {name: getattr(self, name) for name in QueryDefaults.model_fields if getattr(self, name) is not None}
        return QueryDefaults.model_validate({**defaults.model_dump(), **said})


class IndexFingerprint(Record):
    """What made a chunk index: kept in its `_meta`, compared with the settings before anything is written or read.

    Attributes:
        embedding_model: Id of the bi-encoder.
        embedding_revision: Its revision (a hash of the weights for local files).
        dims: Length of its vectors.
        chunker: Name, version and sizes of the chunker.
        analyzer: Analyzer of the `text` field.
    """

    embedding_model: str
    embedding_revision: str
    dims: int
    chunker: str
    analyzer: str = "english"


class BulkLoad(Record):
    """A collection's first fill, for which its indices have other settings.

    Attributes:
        until: Unix seconds; whoever fills it names a later moment again and again, and behind it the load is over.
        settings: By index, the settings that it had before and gets back.
    """

    until: float
    settings: dict[str, dict[str, str | None]] = Field(default_factory=dict)


class Reindex(Record):
    """A collection's move from one physical index to another; both are written from its beginning to its end.

    Attributes:
        source: The index that was read before.
        target: The index that is made.
        began_at: Unix seconds.
        holds: The operator says when the target is read; otherwise it is as soon as it holds every document.
        holdouts: Documents, by key, with the holder of their lease at the beginning: it may not know the target yet, so
            nothing is complete before these leases have ended. None before they were looked for.
        sent_at: When documents were last sent to be made in the target.
        switched_at: Since when the target is read; None while the source is.
    """

    source: str
    target: str
    began_at: float
    holds: bool = False
    holdouts: dict[str, str] | None = None
    sent_at: float = 0.0
    switched_at: float | None = None


ReindexAction = Literal["begin", "switch", "rollback", "finish", "abandon"]
ReindexPhase = Literal["none", "filling", "filled", "switched"]


class ReindexStatus(Record):
    """How the reindex of a collection stands.

    Attributes:
        phase: `filling` while documents are made in the target; `filled` when all are that can be; `switched` while the
            target is read and the source still written; `none` when no reindex goes on.
        index: The physical index that is read.
        source: The index that was read before.
        target: The index that is made.
        made_by: What made each of them: model, revision, chunker.
        documents: Documents of the collection, those included that have no version to be searched yet.
        done: Those whose version that readers see is in the target.
        failed: Those of which it could not be made there.
        failures: Some of these by document id, and why.
        held: It is not switched without being told to.
    """

    collection: str
    phase: ReindexPhase
    index: str
    source: str | None = None
    target: str | None = None
    made_by: dict[str, IndexFingerprint] = Field(default_factory=dict)
    documents: int = 0
    done: int = 0
    failed: int = 0
    failures: dict[str, str] = Field(default_factory=dict)
    held: bool = False
    began_at: float | None = None
    switched_at: float | None = None


class CollectionRecord(Versioned):
    """A collection as Elasticsearch keeps it.

    Attributes:
        name: The collection.
        index: The physical chunk index that is read.
        writing: The physical chunk indices that are written (two of them during a reindex).
        reindex: The move to another index, while it goes on.
        generations: How many physical indices it has had; no number is given twice.
        retired: Physical indices that nobody reads or writes any more, with the moment since which (Unix seconds); the
            sweeper removes them.
        overrides: The collection's own choices for queries.
        calibration: Id of the calibration that the collection was given last; None when those of the models hold.
        calibrations: Ids of its calibrations by the model that each was fitted for; one without holds its own model's.
            Empty in records of a time when a collection had only one.
        load: Its first fill, while that goes on.
    """

    name: CollectionName
    index: str
    writing: tuple[str, ...]
    overrides: QueryOverrides = QueryOverrides()
    calibration: str | None = None
    calibrations: dict[str, str] = Field(default_factory=dict)
    load: BulkLoad | None = None
    reindex: Reindex | None = None
    generations: int = 1
    retired: dict[str, float] = Field(default_factory=dict)
    created_at: float

    @property
    def indices(self) -> tuple[str, ...]:
        """The physical indices that are read or written, the one that is read first."""
        return tuple(dict.fromkeys((self.index, *self.writing)))

    @property
    def calibration_ids(self) -> frozenset[str]:
        """Ids of all calibrations that the collection has of its own."""
        own = frozenset(self.calibrations.values())
        return own if self.calibration is None else own | {self.calibration}

    def calibrated_by(self, calibration_id: str | None, model: str = "") -> Self:
        """Return the record with a calibration for a model, or for all without one; without an id, with none at all."""
        known = {**self.calibrations, model: calibration_id} if calibration_id is not None and model else {}
        return self.model_copy(update={"calibration": calibration_id, "calibrations": known})
