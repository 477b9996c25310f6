"""What the stages need from the outside, as protocols. Adapters and the public doubles in `testing` implement them.

Every call that leaves the process has a timeout of its own and raises only errors of `schemas.errors`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from second_opinion.schemas.calibration import CalibrationArtefact, RerankerRecord, Scale
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.chunk import Chunk, ChunkHit, IndexedChunk
from second_opinion.schemas.collection import CollectionRecord, IndexFingerprint, QueryOverrides
from second_opinion.schemas.document import ContentRecord, DocumentRecord, DocumentRef, ExtractedText, MetadataValue
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.job import Job, JobState, Step
from second_opinion.schemas.query import Filter, Query
from second_opinion.schemas.trace import Judgement, ReplayedQuery, ScorerTraces, Trace, TraceScope, TraceSpread
from second_opinion.schemas.usage import DailyUsage, RerankerUsage, RerankUsage
from second_opinion.schemas.verdict import CalibrationSource, Outcome, QueryResult

Vectors = NDArray[np.float32]
Guard = Callable[[], None]
"""Called between units of work; raises `JobCancelled` or `DeadlineExceeded` when the work is no longer wanted."""


TimeIsOver = Callable[[], bool]
"""Tells whether work has to end with what there is by now."""

Admission = Callable[[Guard], None]
"""Called before each request to a provider, tries again included: the place of a rate limit. May wait, asking the
guard, or raise."""

Meter = Callable[[RerankUsage], None]
"""Told what an answer cost as soon as it is known, be the answer of use or not. Any thread may call it."""


def no_guard() -> None:
    """Let the work go on."""


def no_meter(usage: RerankUsage) -> None:
    """Count nothing."""


class Clock(Protocol):
    """Time, so that simulations can have their own."""

    def now(self) -> float:
        """Return Unix seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class OperationIds(Protocol):
    """Makes g, the id of an operation."""

    def new(self) -> str:
        """Return a new ULID: 26 characters, sorted by time."""


class Tokenizer(Protocol):
    """Counts tokens as a model does."""

    def count(self, text: str) -> int:
        """Return how many tokens `text` has, without the special ones."""


class Chunker(Protocol):
    """Cuts a text into chunks."""

    @property
    def name(self) -> str:
        """Name, version and sizes: what an index fingerprint says of it."""

    def chunk(self, text: str, *, media_type: str, title: str, guard: Guard = no_guard) -> list[Chunk]:
        """Return the chunks of `text` in order; `chunk.text == text[chunk.start:chunk.end]` for each.

        `guard` is called every few thousand characters.

        Raises:
            EmptyDocument: If there is nothing but white space.
        """


class Extractor(Protocol):
    """Turns the bytes of a file into text."""

    @property
    def media_types(self) -> frozenset[str]:
        """The kinds of file it reads."""

    def extract(self, content: bytes, *, media_type: str) -> str:
        """Return the text.

        Raises:
            InvalidDocument: If these bytes give no text.
        """


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """What a bi-encoder is: id, revision, length of its vectors, and how many tokens it reads."""

    model: str
    revision: str
    dims: int
    max_tokens: int


class Embedder(Protocol):
    """A bi-encoder. Vectors have unit length; the same text has the same vector, alone or beside others."""

    spec: EmbedderSpec

    def embed_query(self, text: str) -> Vectors:
        """Return the query's vector, shape (dims,)."""

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Return the passages' vectors, shape (len(texts), dims)."""


@dataclass(frozen=True, slots=True)
class RerankerSpec:
    """What a reranker is: all that its calibration is keyed by.

    Attributes:
        scale: What its raw scores are; declared by the adapter, never guessed from data.
        file_hash: SHA-256 of the model file, empty for a remote provider.
        kernel: The kernel class the processor selects (such as `avx512-vnni`), empty where it does not matter.
        trained_on: Names of the data sets whose train split trained it; empty where that is not known.
        query_dependent: The provider says that one query's scores cannot be compared with another's, so without a
            calibration a floor on them means something else for each query.
    """

    model: str
    revision: str
    backend: str
    dtype: str
    max_tokens: int
    scale: Scale
    file_hash: str = ""
    runtime: str = ""
    kernel: str = ""
    query_dependent: bool = False
    trained_on: tuple[str, ...] = ()


class Reranker(Protocol):
    """A cross-encoder or a provider of one. The same pair has the same score, alone or beside others."""

    spec: RerankerSpec

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return one raw score for each passage, in order, all finite.

        Raises:
            RerankUnavailable: If no scores can be had right now.
        """


@runtime_checkable
class MeteredReranker(Reranker, Protocol):
    """A reranker whose scores are counted or paid for."""

    def score_metered(
        self, query: str, passages: Sequence[str], *, meter: Meter, guard: Guard = no_guard
    ) -> list[float]:
        """Return what `score` does; the meter hears what each answer cost, also when there are no scores in the end.

        Raises:
            RerankUnavailable: If no scores can be had right now.
        """


@runtime_checkable
class TimedReranker(Reranker, Protocol):
    """A local reranker, which reads one passage after the other and can stop with what it has."""

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver, guard: Guard = no_guard
    ) -> list[float | None]:
        """Return one raw score for each passage, in order; None for those not read when `is_over` first said so.

        Passages are begun in their order. Work that has begun is not waited for.

        Raises:
            RerankUnavailable: If no scores can be had right now.
        """


class ScoreCache(Protocol):
    """Raw scores of one reranker, known from before. It never raises: in doubt a score is not known."""

    def get(self, query: str, passages: Sequence[str]) -> list[float | None]:
        """Return the score of each passage, in order and to the last bit, or None for those that are not known."""

    def put(self, query: str, passages: Sequence[str], scores: Sequence[float]) -> None:
        """Keep the score of each passage."""


@dataclass(frozen=True, slots=True)
class BreakerState:
    """How a circuit breaker stands: `half-open` lets one call through to see whether the reranker is back.

    Attributes:
        failures: How many calls have failed in a row.
        seconds_left: For how long no call will be let through.
        refusal: What the provider said when it refused the last call; empty when it did not.
    """

    state: Literal["closed", "open", "half-open"]
    failures: int = 0
    seconds_left: float = 0.0
    refusal: str = ""


class Breaker(Protocol):
    """Keeps all workers from calling a reranker that is known to fail. It never raises: in doubt it lets calls through.

    After some failures in a row it is open. When it has cooled down one call is let through as a probe, then the next
    one after another cool-down; a success closes it.
    """

    def ask(self, name: str) -> float:
        """Return 0.0 when a reranker may be called now, or the seconds until it may."""

    def failed(self, name: str) -> None:
        """Count a call that failed and may succeed later."""

    def refused(self, name: str, told: str) -> None:
        """Remember, for operators, that the provider refused a call and what it said; failures before it are forgotten.

        It does not open the breaker: whoever refuses answers at once, and costs no time.
        """

    def succeeded(self, name: str) -> None:
        """Forget the failures, and the refusal."""

    def state(self, name: str) -> BreakerState:
        """Return how the breaker of a reranker stands."""


class UsageBook(Protocol):
    """What rerankers cost, by day (in UTC), counted over all workers."""

    def add(self, name: str, usage: RerankUsage) -> None:
        """Add to what a reranker has cost today. It never raises: what cannot be counted is logged."""

    def read(self, days: int) -> list[DailyUsage]:
        """Return what each reranker cost on each of the last days, today included: by day, the latest first, and name.

        Raises:
            JobStoreUnavailable: If the book cannot be read.
        """


class RateLimit(Protocol):
    """Calls a minute, counted over all workers. It never raises: in doubt it lets calls through."""

    def take(self, name: str, per_minute: float) -> float:
        """Take one call and return 0.0, or return the seconds until one can be taken."""


class Calibration(Protocol):
    """Turns raw scores into relevance: the probability in [0, 1] that a passage answers its query."""

    @property
    def id(self) -> str | None:
        """Name the artefact; None when there is none."""

    @property
    def source(self) -> CalibrationSource:
        """Say where the artefact comes from."""

    def relevance(self, raw: Sequence[float]) -> list[float]:
        """Return one relevance for each raw score, in order; a higher raw score never has a lower one."""

    def query_relevance(self, raw: Sequence[float]) -> float | None:
        """Return the chance that any of a query's candidates answers it, given all their raw scores.

        The best of many is high by chance now and then, so this is often lower than the best candidate's relevance.
        None where nothing is known of it, or there is no candidate.
        """


class CalibrationStore(Protocol):
    """Calibrations of collections, written once each, and what rerank workers say of their models."""

    def write(self, artefact: CalibrationArtefact) -> None:
        """Keep an artefact under its id; one that is there already stays as it is."""

    def get(self, calibration_id: str) -> CalibrationArtefact | None:
        """Return an artefact, or None when there is none of this id.

        Raises:
            ModelUnusable: If what is stored is no calibration; the sentence names the field.
        """

    def remove(self, calibration_ids: Collection[str]) -> None:
        """Remove artefacts that no collection has any more; ids of none are left out."""

    def publish(self, record: RerankerRecord) -> None:
        """Keep what a rerank worker says of its model, in place of what was said of the same one before."""

    def rerankers(self) -> list[RerankerRecord]:
        """Return what is said of models, the latest first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it was read, with the two numbers that a compare-and-set needs."""

    record: DocumentRecord
    seq_no: int
    primary_term: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Write `record` if the stored one is still as `seen`; create it, if `seen` is None and there is none."""

    record: DocumentRecord
    seen: Seen | None


class DocumentStore(Protocol):
    """The records of documents: created or compared-and-set, never blindly written. Reads are realtime."""

    def get(self, keys: Sequence[str]) -> dict[str, Seen]:
        """Return what is stored under `keys`; missing ones are left out."""

    def swap(self, swaps: Sequence[Swap]) -> list[Seen | None]:
        """Apply each swap on its own; return what is now stored, or None where somebody else was first."""

    def remove(self, seen: Sequence[Seen]) -> int:
        """Remove records that are still as they were seen; return how many were."""

    def lost(self, *, now: float, limit: int) -> list[Seen]:
        """Return received documents that are in no queue: lease expired, or let go and `not_before` has come."""

    def waiting(self, *, now: float, enqueued_before: float, limit: int) -> list[Seen]:
        """Return received documents that nobody works on and that were last enqueued before a moment, oldest first."""

    def count_waiting(self, *, now: float) -> int:
        """Return how many received documents nobody works on, with `not_before` come."""

    def tombstones(self, *, before: float, limit: int) -> list[Seen]:
        """Return records of documents deleted before a moment, oldest first."""

    def listed(self, collection: str, *, state: str | None, after: str | None, limit: int) -> list[DocumentRecord]:
        """Return records of a collection by document id, those behind `after`."""


class ContentStore(Protocol):
    """What was sent, written once for each operation."""

    def create(self, contents: Sequence[ContentRecord]) -> None:
        """Write each under `K@g`; one that exists already stays as it is."""

    def get(self, refs: Sequence[DocumentRef]) -> dict[DocumentRef, ContentRecord]:
        """Return what is stored for these operations; missing ones are left out."""

    def create_text(self, text: ExtractedText) -> None:
        """Write extracted text under `K@g@text`; one that exists already stays as it is."""

    def get_texts(self, refs: Sequence[DocumentRef]) -> dict[DocumentRef, ExtractedText]:
        """Return extracted texts; missing ones are left out."""

    def delete(self, refs: Sequence[DocumentRef]) -> None:
        """Remove contents and extracted texts of these operations; missing ones are no error."""

    def older_than(self, moment: float, *, limit: int, after: str | None = None) -> list[tuple[str, DocumentRef]]:
        """Return (storage id, operation) of contents written before `moment`, by storage id, those behind `after`."""


@dataclass(frozen=True, slots=True)
class ListedHit:
    """A hit of one list: its place from 1, Elasticsearch's score, and the chunk."""

    rank: int
    es_score: float
    chunk: ChunkHit


@dataclass(frozen=True, slots=True)
class SearchHits:
    """Both lists of one search. A list is `full` when the index may hold more behind its end."""

    bm25: tuple[ListedHit, ...]
    knn: tuple[ListedHit, ...]
    bm25_full: bool
    knn_full: bool


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One search for both lists.

    Attributes:
        index: The physical index that is read.
        depth: How many hits for each list.
        write_sets: When given, only chunks of these sets.
        bm25: False leaves the BM25 list out (its weight is 0); likewise `knn`.
    """

    index: str
    text: str
    vector: Vectors
    filters: tuple[Filter, ...]
    depth: int
    write_sets: tuple[str, ...] | None = None
    bm25: bool = True
    knn: bool = True


@dataclass(frozen=True, slots=True)
class WrittenSet:
    """A write set found in an index, for the sweeper: whose it is and when it was written.

    Attributes:
        chunks: How many chunks the set was to have; after a crash some of them are missing.
    """

    index: str
    key: str
    write_set: str
    chunks: int
    written_at: float


class ChunkIndex(Protocol):
    """The chunks: written and searched, deleted by their known ids."""

    def write(self, index: str, chunks: Sequence[IndexedChunk]) -> list[ErrorInfo | None]:
        """Write chunks; return an error or None for each."""

    def refresh(self, index: str) -> None:
        """Make what was written visible to searches on every shard.

        Raises:
            StoreUnavailable: If one shard failed; nothing may then be committed.
        """

    def delete(self, index: str, chunk_ids: Sequence[str]) -> None:
        """Remove chunks by id; missing ones are no error."""

    def search(self, request: SearchRequest) -> SearchHits:
        """Search both lists with the same filters, in one round trip."""

    def get(self, index: str, chunk_ids: Sequence[str]) -> dict[str, ChunkHit]:
        """Return chunks by id."""

    def embeddings(self, index: str, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return the vectors that were written under these `embedding_key`s and are visible, each of shape (dims,)."""

    def count(self, index: str) -> int:
        """Return how many chunks the index holds, visible or not."""

    def write_sets(self, index: str, *, before: float, limit: int, after: str | None = None) -> list[WrittenSet]:
        """Return sets written before a moment, by key and set, those behind `after` (a `key@set`); refreshes first."""


class CollectionStore(Protocol):
    """Collections and the mapping of their indices."""

    def get(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            UnknownCollection: If there is none of this name.
            IndexMismatch: If its index was made by another model, chunker or analyzer than this process uses.
        """

    def ensure(self, name: str) -> CollectionRecord:
        """Return a collection; make it and its index first where there is none. Safe to call from many processes."""

    def records(self) -> list[CollectionRecord]:
        """Return the records of all collections by name, those included whose index is gone or was made otherwise."""

    def names(self) -> list[str]:
        """Return the names of all collections in order."""

    def fingerprint(self) -> IndexFingerprint:
        """Return what this process would make an index with."""

    def override(self, name: str, overrides: QueryOverrides) -> CollectionRecord:
        """Replace a collection's own choices for queries."""

    def calibrate(self, name: str, calibration_id: str | None, *, model: str = "") -> CollectionRecord:
        """Give a collection a calibration of its own for a model, by id; without an id, none for any model."""

    def delete(self, name: str) -> None:
        """Remove a collection with its chunks, records and contents."""

    def field_types(self, name: str) -> dict[str, str]:
        """Return the metadata fields of a collection and their types: keyword, double or boolean."""

    def register_fields(self, name: str, metadata: Mapping[str, MetadataValue]) -> None:
        """Make sure these fields can be filtered on.

        Raises:
            MetadataTypeConflict: If a field has another type in this collection, or there are too many fields.
        """


class CandidateStore(Protocol):
    """Candidates on their way from retrieve to rerank, with their text, for a short time."""

    def put(self, job_id: str, handover: Handover, *, owner: str = "") -> None:
        """Keep the handover that `owner` made of a job, beside those that others made."""

    def get(self, job_id: str, *, owner: str = "") -> Handover | None:
        """Return the handover that `owner` made of a job, or None when it has expired."""

    def delete(self, job_id: str) -> None:
        """Forget the handovers of a job."""


class JobStore(Protocol):
    """Query jobs. A terminal state is written once; what comes later changes nothing.

    A job that is past its `expires_at` and has no terminal state becomes `expired`, with the error `DeadlineExceeded`,
    as soon as anybody looks at it.
    """

    def create(self, query: Query, *, submitted_at: float, expires_at: float) -> Job:
        """Record a queued job; return the one already there when the id is taken."""

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            UnknownJob: If there is none, or its result has expired.
        """

    def begin(self, job_id: str, state: JobState, *, owner: str, seconds: float, alone: bool = False) -> Job:
        """Take the lease of a job for so long and move it to a stage; return it as it now is.

        It is ours to work on when its `owner` is; otherwise it is finished, or another works on it. Each lease taken
        counts as an attempt at that stage; one that had run out, of another, as a loss.

        Args:
            job_id: The job.
            state: The stage.
            owner: A name that no other piece of work has.
            seconds: How long we may be silent before another takes over.
            alone: The worker does nothing else meanwhile, so that if it ends, it is by this job or by chance.

        Raises:
            UnknownJob: If there is none.
        """

    def renew(self, job_id: str, *, owner: str, seconds: float) -> Job:
        """Hold the lease for so long from now, if it is still ours; return the job as it now is.

        Raises:
            UnknownJob: If there is none.
        """

    def release(
        self, job_id: str, *, owner: str, next_step: Step, due: float | None = None, hands_over: bool = False
    ) -> bool:
        """Give the lease back, so that the job waits for its next step; False when it was no longer ours.

        Args:
            job_id: The job.
            owner: Who holds the lease.
            next_step: What the job waits for.
            due: When its message will be in a queue (Unix seconds); now, when left out.
            hands_over: True when the owner leaves candidates for the next step; otherwise the job is `queued` again.
        """

    def requeue(self, job_id: str, *, waiting_before: float) -> Job | None:
        """Mark an abandoned job as waiting from now on, and return it; None when somebody cares for it.

        Abandoned is one whose lease has run out, or that waits and was due before a moment. Of many callers one is
        told so.
        """

    def finish(  # noqa: PLR0913 - all but two by name
        self,
        job_id: str,
        state: JobState,
        *,
        at: float,
        result: QueryResult | None = None,
        error: ErrorInfo | None = None,
        owner: str | None = None,
    ) -> bool:
        """Write the terminal state, start its time to live and wake the waiters; False when it was finished already.

        With an `owner` also False when that one no longer holds the job's lease.

        Raises:
            UnknownJob: If there is none.
        """

    def wait(self, job_id: str, timeout: float) -> Job:
        """Return the job when it is terminal, or as it is when `timeout` seconds are over.

        Raises:
            UnknownJob: If there is none.
            JobStoreUnavailable: If the store cannot be read at the beginning, or still not when the time is over.
        """

    async def wait_async(self, job_id: str, timeout: float) -> Job:  # noqa: ASYNC109 - the job outlives the waiting
        """Wait as `wait` does, without a thread for each waiter."""

    def unfinished(self, *, submitted_before: float, limit: int) -> list[str]:
        """Return ids of jobs that have no terminal state, oldest first."""

    def lapsed(self, *, limit: int) -> list[str]:
        """Return ids of unfinished jobs whose lease has run out, longest ago first."""

    def waiting(self, *, due_before: float, limit: int) -> list[str]:
        """Return ids of unfinished jobs that nobody works on and whose message was due before a moment."""

    def count_waiting(self) -> int:
        """Return how many unfinished jobs nobody works on, of those whose message is due."""

    def expire(self, *, limit: int) -> list[str]:
        """Make `expired` what is past its `expires_at`, at most `limit` jobs; return their ids."""


class TaskQueue(Protocol):
    """Sends messages to workers."""

    def extract(self, document: DocumentRef) -> None:
        """Ask for the text of an operation's bytes."""

    def index(self, documents: Sequence[DocumentRef]) -> None:
        """Ask for operations to be chunked, embedded and committed."""

    def retrieve(self, job_id: str) -> None:
        """Ask for a job's candidates."""

    def rerank(self, job_id: str, *, waits: int = 0, delay: float = 0.0, usage: Sequence[RerankerUsage] = ()) -> None:
        """Ask for a job's candidates to be scored and judged, `delay` seconds (at most 30) from now.

        `waits` is how often the job has waited for a reranker before, `usage` what it has cost by then.
        """

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""


class TraceStore(Protocol):
    """Traces of queries, kept for a limited time. They may be a second or two behind the answers."""

    def write(self, traces: Sequence[Trace]) -> list[ErrorInfo | None]:
        """Write traces; return an error or None for each. One of the same job replaces the earlier one."""

    def get(self, job_id: str) -> Trace | None:
        """Return the newest trace of a job."""

    def scorers(self, scope: TraceScope) -> list[ScorerTraces]:
        """Return the scorers of these traces, the one with the newest trace first."""

    def spread(self, scope: TraceScope, floors: Sequence[float]) -> TraceSpread:
        """Return how relevance is spread over these traces, and what each of `floors` would have done."""

    def newest(self, scope: TraceScope, query_hashes: Sequence[str]) -> dict[str, Trace]:
        """Return the newest of these traces for each question; without those that have none."""

    def changed(self, scope: TraceScope, floor: float, outcome: Outcome, *, limit: int) -> list[ReplayedQuery]:
        """Return the newest queries that ended otherwise but would have ended with `outcome` at this floor."""

    def count_changed(self, scope: TraceScope, floor: float, outcome: Outcome) -> int:
        """Return how many queries `changed` has to tell of."""

    def drop(self, *, before: float) -> int:
        """Remove traces made before a moment, as far as whole indices hold nothing newer; return how many indices."""

    def forget(self, collection: str) -> None:
        """Remove all traces of a collection."""


class JudgementStore(Protocol):
    """Judgements of passages for questions. They are kept until they are replaced."""

    def write(self, judgements: Sequence[Judgement]) -> None:
        """Write judgements, each in place of an earlier one of the same pair."""

    def get(self, keys: Sequence[str]) -> dict[str, Judgement]:
        """Return the judgements of these pairs; missing ones are left out."""

    def listed(self, collection: str | None, *, after: str | None, limit: int) -> list[Judgement]:
        """Return judgements by their key, of one collection or of all, those behind `after`; sees every write."""

    def forget(self, collection: str) -> None:
        """Remove all judgements in a collection."""
