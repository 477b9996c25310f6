"""What every client can do, wherever it runs: beside the servers, or on the other side of an HTTP gateway."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from second_opinion.gateway.calls import DocumentLike
from second_opinion.gateway.watching import DocumentName, Settled
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import DEFAULT_COLLECTION, CollectionRecord, ReindexAction, ReindexStatus
from second_opinion.schemas.document import DocumentStatus, Receipt
from second_opinion.schemas.errors import Overloaded
from second_opinion.schemas.explanation import Explanation
from second_opinion.schemas.floor_choice import FloorGoal, FloorReplay, FloorReport, FloorSuggestion
from second_opinion.schemas.job import Job
from second_opinion.schemas.query import Filter
from second_opinion.schemas.trace import Judgement, Trace, TracePlace, TraceSummary
from second_opinion.schemas.verdict import QueryResult


class OpinionEvidence(Protocol):
    """Traces of past queries, judgements of their candidates, and what they say of a floor."""

    def trace(self, job_id: str) -> Trace:
        """Return the trace of a query."""

    def traces(
        self, collection: str | None = None, *, before: TracePlace | None = None, limit: int = 100
    ) -> list[TraceSummary]:
        """Return one line for each past query, the newest first; those behind a place in that order."""

    def judged(self, trace: Trace) -> dict[str, Judgement]:
        """Return the judgements of a trace's candidates, by chunk id."""

    def chunks(self, trace: Trace) -> dict[str, ChunkHit]:
        """Return the chunks of a trace's candidates that are still there, by chunk id."""

    def judge(self, job_id: str, chunk: str, *, relevant: bool) -> Judgement:
        """Record whether a candidate is relevant to the question it was found for."""

    def judgements(self, collection: str | None = None) -> Iterator[Judgement]:
        """Yield all judgements, of one collection or of all."""

    def report(self, collection: str | None = None, *, floors: Sequence[float] = ...) -> FloorReport:
        """Return how relevance is spread over past queries, and what floors would have done with them."""

    def replay(self, floor: float, collection: str | None = None, *, examples: int = ...) -> FloorReplay:
        """Return what past queries would have answered at a floor."""

    def suggest(self, goal: FloorGoal, target: float | None = None, collection: str | None = None) -> FloorSuggestion:
        """Return a floor for a goal, or the honest answer that there is none."""


class OpinionClient(Protocol):
    """The calls of `Client`, which says what each does and raises; `Client.connect` gives another one that has them."""

    @property
    def evidence(self) -> OpinionEvidence:
        """Past queries and judgements."""

    def __enter__(self) -> Self:
        """Return the client itself."""

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the connections."""

    def close(self) -> None:
        """Close the connections."""

    def submit_document(self, document: DocumentLike | None = None, **fields: Any) -> Receipt:
        """Send one document; return once it is durable."""

    def submit_documents(self, documents: Iterable[DocumentLike]) -> list[Receipt]:
        """Send documents and return a receipt for each, in order."""

    def stream_documents(
        self, documents: Iterable[DocumentLike], *, overloaded: Callable[[Overloaded], object] | None = None
    ) -> Iterator[Receipt]:
        """Send documents while the receipts are read."""

    def delete_document(
        self, document_id: str, *, collection: str = DEFAULT_COLLECTION, source_version: int | None = None
    ) -> Receipt:
        """Delete a document."""

    def document_status(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> DocumentStatus:
        """Return what is known of a document."""

    def document_statuses(self, documents: Sequence[DocumentName]) -> dict[DocumentName, DocumentStatus]:
        """Return what is known of documents; unknown ones are left out."""

    def documents(
        self, *, collection: str = DEFAULT_COLLECTION, state: str | None = None, after: str | None = None
    ) -> Iterator[DocumentStatus]:
        """Yield the documents of a collection by id."""

    def document_chunks(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> list[ChunkHit]:
        """Return the chunks of a document that readers see."""

    def retry_documents(self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[Receipt]:
        """Begin anew on documents that have failed."""

    def purge_documents(self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[Receipt]:
        """Give up the failed versions of documents."""

    def wait_document(
        self, document_id: str, *, collection: str = DEFAULT_COLLECTION, timeout: float = 60.0
    ) -> DocumentStatus:
        """Wait until the newest version of a document is searchable."""

    def wait_documents(
        self,
        receipts: Iterable[Receipt],
        *,
        timeout: float = 60.0,
        settled: Callable[[Settled], None] | None = None,
    ) -> list[Settled]:
        """Wait until documents that were sent are searchable or have failed."""

    def bulk_load(self, collection: str = DEFAULT_COLLECTION) -> AbstractContextManager[object]:
        """Return a context in which a collection is filled for the first time."""

    def submit_query(
        self,
        text: str,
        *,
        collection: str = DEFAULT_COLLECTION,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        timeout: float = 60.0,
        job_id: str | None = None,
        **choices: Any,
    ) -> Job:
        """Submit a query and return its job at once."""

    def result(self, job_id: str) -> Job:
        """Return a job as it is now."""

    def wait(self, job_id: str, *, timeout: float = 60.0) -> Job:
        """Wait for a job to end; return it as it is when the time is over."""

    def query(self, text: str, *, timeout: float = 60.0, **options: Any) -> QueryResult:
        """Submit a query, wait for it, and return the answer or the refusal."""

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, and return it as it then is."""

    def why(self, job_id: str, document_id: str) -> Explanation:
        """Say what became of a document in the answer to a query."""

    def collections(self) -> list[CollectionRecord]:
        """Return all collections by name."""

    def collection(self, name: str) -> CollectionRecord:
        """Return a collection."""

    def set_collection(self, name: str, **choices: Any) -> CollectionRecord:
        """Set a collection's own choices for queries."""

    def delete_collection(self, name: str) -> None:
        """Delete a collection with all that is in it."""

    def reindex(
        self, name: str, action: ReindexAction = "begin", *, hold: bool = False, leave_behind: bool = False
    ) -> ReindexStatus:
        """Move a collection to an index that is made by the settings as they are now."""

    def reindex_status(self, name: str) -> ReindexStatus:
        """Return how the reindex of a collection stands."""

    def field_types(self, collection: str = DEFAULT_COLLECTION) -> dict[str, str]:
        """Return the metadata fields that can be filtered on, and their types."""
