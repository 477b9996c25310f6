"""The Python client: documents in, judged answers out.

    from second_opinion import Client

    with Client() as client:
        client.submit_document(id="refunds", title="Refunds", text="A manager approves refunds above 100 euros.")
        client.wait_document("refunds")
        result = client.query("who approves refunds?")

Documents are accepted in the caller's own process: when `submit_document` returns, Elasticsearch has the document.
"""

import base64
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from second_opinion.gateway.batching import batched
from second_opinion.gateway.documents import DocumentReader
from second_opinion.gateway.evidence import Evidence, EvidenceStores
from second_opinion.gateway.loading import LoadInProgress
from second_opinion.gateway.parts import Parts, connect
from second_opinion.gateway.watching import DocumentName, DocumentWatch, Settled
from second_opinion.pipeline.ingest import Acceptance
from second_opinion.pipeline.ingest.purge import purge_failed
from second_opinion.pipeline.ingest.retry import retry_failed
from second_opinion.pipeline.why import WhyParts, explain_document
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import DEFAULT_COLLECTION, CollectionRecord, QueryOverrides
from second_opinion.schemas.document import (
    AcceptOutcome,
    DeletionInput,
    DocumentInput,
    DocumentStatus,
    Receipt,
)
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    InternalError,
    JobCancelled,
    OpinionError,
    Overloaded,
    UnknownCollection,
    UnknownDocument,
)
from second_opinion.schemas.explanation import Explanation
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import Filter, QueryRequest
from second_opinion.schemas.verdict import QueryResult
from second_opinion.workers.settings import Settings, load_settings

PAGE: Final = 500
FIRST_POLL: Final = 0.05
LAST_POLL: Final = 0.5
DocumentLike = DocumentInput | Mapping[str, Any]


class Client:
    """Everything a caller does. Safe to share between threads.

    Args:
        settings: Where the servers are; by default the environment, then the local stack.
        parts: The connections to use, when a test or a program has made them itself.

    Attributes:
        evidence: Traces of past queries, judgements of their candidates, and what they say of a floor.

    Errors are those of `second_opinion.schemas.errors`: transient ones may be tried again.
    """

    def __init__(self, settings: Settings | None = None, *, parts: Parts | None = None) -> None:
        self.parts = parts or connect(settings or load_settings())
        self._stores = self.parts.stores
        self._acceptance = Acceptance(self._stores, self.parts.policy, admit=self.parts.admit)
        self._reader = DocumentReader(
            records=self._stores.documents, chunks=self._stores.chunks, collections=self._stores.collections
        )
        self.evidence = Evidence(
            EvidenceStores(
                traces=self.parts.traces,
                judgements=self.parts.judgements,
                jobs=self.parts.jobs,
                chunks=self._stores.chunks,
                collections=self._stores.collections,
                clock=self._stores.clock,
            ),
            floor_of=lambda collection: self.parts.queries.choices(collection).floor,
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.parts.close()

    # Documents

    def submit_document(self, document: DocumentLike | None = None, **fields: Any) -> Receipt:
        """Send one document, given whole or field by field; return once it is durable.

        Raises:
            InvalidRequest: If it cannot be accepted; the kind of error says why.
            StoreUnavailable: If Elasticsearch did not record it.
        """
        receipt = self.submit_documents([document if document is not None else fields])[0]
        if receipt.error is not None:
            raise OpinionError.from_info(receipt.error)
        return receipt

    def submit_documents(self, documents: Iterable[DocumentLike]) -> list[Receipt]:
        """Send documents and return a receipt for each, in order; a rejected one does not stop the others.

        Raises:
            StoreUnavailable: If Elasticsearch does not answer. What was sent before is recorded; sending all again
                is safe, as unchanged documents are recognised.
        """
        return list(self.stream_documents(documents))

    def stream_documents(
        self, documents: Iterable[DocumentLike], *, overloaded: Callable[[Overloaded], object] | None = None
    ) -> Iterator[Receipt]:
        """Send documents while the receipts are read: for more of them than memory holds.

        Args:
            documents: What to send.
            overloaded: Called when there is no room; once it returns, the same documents are sent again.

        Raises:
            StoreUnavailable: As `submit_documents` does.
            Overloaded: If there is no room, unless `overloaded` is given; it says when to come back.
        """
        for batch in batched(map(_prepared, documents), _size):
            yield from self._accept(batch, overloaded)

    def _accept(
        self, batch: Sequence[DocumentLike], overloaded: Callable[[Overloaded], object] | None
    ) -> list[Receipt]:
        while True:
            try:
                return self._acceptance.accept(batch)
            except Overloaded as problem:
                if overloaded is None:
                    raise
                overloaded(problem)

    def delete_document(
        self, document_id: str, *, collection: str = DEFAULT_COLLECTION, source_version: int | None = None
    ) -> Receipt:
        """Delete a document: no query that begins after this sees it.

        Raises:
            UnknownDocument: If there is none of this id.
            InvalidRequest: If the id or the version cannot be accepted.
        """
        deletion = parse_request(
            DeletionInput, {"id": document_id, "collection": collection, "source_version": source_version}
        )
        receipt = self._acceptance.delete([deletion])[0]
        if receipt.error is not None:
            raise OpinionError.from_info(receipt.error)
        return receipt

    def document_status(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> DocumentStatus:
        """Return what is known of a document.

        Raises:
            UnknownDocument: If there is none of this id in the collection.
        """
        known = self.document_statuses([(collection, document_id)])
        if not known:
            raise UnknownDocument.named(document_id, collection)
        return known[collection, document_id]

    def document_statuses(self, documents: Sequence[DocumentName]) -> dict[DocumentName, DocumentStatus]:
        """Return what is known of documents, given as pairs of collection and id; unknown ones are left out."""
        return self._reader.statuses(documents)

    def documents(
        self, *, collection: str = DEFAULT_COLLECTION, state: str | None = None, after: str | None = None
    ) -> Iterator[DocumentStatus]:
        """Yield the documents of a collection by id; it may be a second behind."""
        while True:
            page = self._reader.listed(collection, state=state, after=after, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].document_id

    def document_chunks(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> list[ChunkHit]:
        """Return the chunks of a document that readers see, in order.

        Raises:
            UnknownDocument: If there is none of this id in the collection.
        """
        return self._reader.chunks(collection, document_id)

    def retry_documents(self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[Receipt]:
        """Begin anew on documents that have failed, with what was sent before; return a receipt for each, in order."""
        return retry_failed(self._stores, self.parts.policy, collection, document_ids)

    def purge_documents(self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[Receipt]:
        """Give up the failed versions of documents: an older version that is searchable stays, otherwise they go."""
        return purge_failed(self._stores, collection, document_ids)

    def wait_document(
        self, document_id: str, *, collection: str = DEFAULT_COLLECTION, timeout: float = 60.0
    ) -> DocumentStatus:
        """Wait until the newest version of a document is searchable; one that nobody knows yet is waited for too.

        Raises:
            DeadlineExceeded: If it is not within `timeout` seconds; it goes on being worked on.
            UnknownDocument: If there is still none of this id.
            OpinionError: Why the document failed, if it did.
        """
        receipt = Receipt(collection=collection, document_id=document_id, outcome=AcceptOutcome.SUBMITTED)
        settled = self.wait_documents([receipt], timeout=timeout)
        if not settled:
            self.document_status(document_id, collection=collection)
            raise DeadlineExceeded(f"document {document_id!r} is not searchable after {timeout:g} seconds")
        status = settled[0].status
        if status is None:
            raise InternalError(f"document {document_id!r} settled without a status")
        if not settled[0].searchable:
            raise OpinionError.from_info(status.error) if status.error else InternalError("failed without an error")
        return status

    def wait_documents(
        self,
        receipts: Iterable[Receipt],
        *,
        timeout: float = 60.0,
        settled: Callable[[Settled], None] | None = None,
    ) -> list[Settled]:
        """Wait until documents that were sent are searchable or have failed.

        Args:
            receipts: What `submit_documents` returned.
            timeout: Seconds without any progress after which the waiting ends.
            settled: Called with each one as it settles.

        Returns:
            Those that have settled, in that order; any that are missing are still being worked on.
        """
        watch = DocumentWatch(self.document_statuses)
        watch.add(receipts)
        found: list[Settled] = []
        pause, patience = FIRST_POLL, time.monotonic() + timeout
        while watch.pending:
            news = watch.poll()
            found += news
            for one in news if settled is not None else ():
                settled(one)  # type: ignore[misc] # the loop is empty without it
            if news:
                pause, patience = FIRST_POLL, time.monotonic() + timeout
            elif time.monotonic() > patience:
                break
            else:
                time.sleep(pause)
                pause = min(LAST_POLL, pause * 1.5)
        return found

    def bulk_load(self, collection: str = DEFAULT_COLLECTION) -> LoadInProgress:
        """Return a context in which a collection is filled for the first time: without replicas and periodic refreshes.

        What is sent in it should be waited for in it. The collection's settings come back when it ends, at the latest
        two minutes after this process was killed.
        """
        return LoadInProgress(self._stores.collections, collection, clock=self._stores.clock)

    # Queries

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
        """Submit a query and return its job at once.

        Args:
            text: The question.
            collection: Where to look.
            filters: All of them have to hold.
            timeout: Seconds after which the job expires if it has no answer.
            job_id: Your own id, so that submitting twice asks once.
            choices: Any of floor, top_k, candidates, chunks_per_document, bm25_weight, knn_weight, reranker,
                on_unavailable; and `deadline_ms`, milliseconds in which the answer is wanted, from what could be read.

        Raises:
            InvalidQuery: If the query cannot be run as it is.
            UnknownCollection: If there is no such collection.
        """
        payload = {"text": text, "collection": collection, "filters": filters, "timeout_s": timeout, "job_id": job_id}
        return self.parts.queries.submit(parse_request(QueryRequest, {**payload, **choices}))

    def result(self, job_id: str) -> Job:
        """Return a job as it is now; its `result` is there once its state is `done`.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """
        return self.parts.jobs.get(job_id)

    def wait(self, job_id: str, *, timeout: float = 60.0) -> Job:
        """Wait for a job to end; return it as it is when `timeout` seconds are over, ended or not.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """
        return self.parts.jobs.wait(job_id, timeout)

    def query(self, text: str, *, timeout: float = 60.0, **options: Any) -> QueryResult:
        """Submit a query, wait for it, and return the answer or the refusal.

        Args:
            text: The question.
            timeout: Seconds to wait; the job expires then.
            options: As `submit_query` takes them.

        Raises:
            DeadlineExceeded: If there is no answer in time.
            OpinionError: Why the query failed, if it did.
        """
        job = self.submit_query(text, timeout=timeout, **options)
        return result_of(self.wait(job.job_id, timeout=timeout + 1.0))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, and return it as it then is: one that had ended stays as it was.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """
        error = JobCancelled(f"job {job_id} was cancelled").info()
        self.parts.jobs.finish(job_id, JobState.CANCELLED, at=self._stores.clock.now(), error=error)
        return self.result(job_id)

    def why(self, job_id: str, document_id: str) -> Explanation:
        """Say what became of a document in the answer to a query: which stage it did not pass, with the numbers.

        Raises:
            UnknownJob: If there is no such job, or its result has expired.
            InvalidRequest: If the job has no result.
        """
        parts = WhyParts(self._stores.collections, self._stores.documents, self._stores.chunks)
        return explain_document(self.result(job_id), document_id, parts)

    # Collections

    def collections(self) -> list[CollectionRecord]:
        """Return all collections by name."""
        return [self._stores.collections.get(name) for name in self._stores.collections.names()]

    def collection(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        return self._stores.collections.get(name)

    def set_collection(self, name: str, **choices: Any) -> CollectionRecord:
        """Set a collection's own choices for queries, in place of those it had; make the collection if there is none.

        Args:
            name: The collection.
            choices: Any of floor, top_k, candidates, chunks_per_document, bm25_weight, knn_weight, reranker,
                on_unavailable.

        Raises:
            InvalidRequest: If a choice is unknown or out of range.
        """
        overrides = parse_request(QueryOverrides, choices)
        self._stores.collections.ensure(name)
        return self._stores.collections.override(name, overrides)

    def delete_collection(self, name: str) -> None:
        """Delete a collection with all its documents, traces, judgements and calibrations.

        The collection itself goes last, so that a delete that was cut short can be asked for again.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        calibrations = {one.name: one.calibration_ids for one in self._stores.collections.records()}
        if name not in calibrations:
            raise UnknownCollection(f"there is no collection {name!r}")
        own = calibrations.pop(name)
        self.parts.traces.forget(name)
        self.parts.judgements.forget(name)
        self.parts.calibrations.remove(own.difference(*calibrations.values()))
        self._stores.collections.delete(name)

    def field_types(self, collection: str = DEFAULT_COLLECTION) -> dict[str, str]:
        """Return the metadata fields that can be filtered on, and their types: keyword, double or boolean."""
        return self._stores.collections.field_types(collection)


def result_of(job: Job) -> QueryResult:
    """Return the result of a job that has ended.

    Raises:
        DeadlineExceeded: If it has not.
        OpinionError: Why the job has no result.
    """
    if job.result is not None:
        return job.result
    if job.error is not None:
        raise OpinionError.from_info(job.error)
    raise job.deadline_exceeded()


def _size(document: DocumentLike) -> int:
    """Return about how many bytes a document takes in a request."""
    text, content = (
        (document.text, document.content)
        if isinstance(document, DocumentInput)
        else (document.get("text"), document.get("content"))
    )
    return sum(len(body) for body in (text, content) if isinstance(body, str | bytes)) + 1_000


def _prepared(document: DocumentLike) -> DocumentLike:
    """Return the document with raw bytes under `content` as base64, which is how a payload has them."""
    if isinstance(document, DocumentInput) or not isinstance(document.get("content"), bytes):
        return document
    return {**document, "content": base64.b64encode(document["content"])}
