"""What every client does in the same way, made of the calls in which clients differ: over connections, or over HTTP."""

import base64
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from second_opinion.gateway.watching import DocumentName, DocumentWatch, Settled
from second_opinion.pipeline.time_budget import within
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import AcceptOutcome, DocumentInput, DocumentStatus, Receipt
from second_opinion.schemas.errors import DeadlineExceeded, InternalError, OpinionError, Overloaded
from second_opinion.schemas.job import Job
from second_opinion.schemas.query import Filter
from second_opinion.schemas.verdict import QueryResult

PAGE: Final = 500
FIRST_POLL: Final = 0.05
NEXT_POLL: Final = 0.1
LAST_POLL: Final = 0.5
MARGIN_SECONDS: Final = 0.25
"""How much longer than a job may take its caller waits, to hear that it has expired."""
DocumentLike = DocumentInput | Mapping[str, Any]


class SharedDocumentCalls(ABC):
    """Sending documents one by one or in a list, listing them, and waiting for them."""

    @abstractmethod
    def stream_documents(
        self, documents: Iterable[DocumentLike], *, overloaded: Callable[[Overloaded], object] | None = None
    ) -> Iterator[Receipt]:
        """Send documents while the receipts are read: for more of them than memory holds.

        Args:
            documents: What to send.
            overloaded: Called when there is no room; once it returns, the same documents are sent again.

        Raises:
            StoreUnavailable: As `submit_document` does.
            Overloaded: If there is no room, unless `overloaded` is given; it says when to come back.
        """

    @abstractmethod
    def document_status(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> DocumentStatus:
        """Return what is known of a document.

        Raises:
            UnknownDocument: If there is none of this id in the collection.
        """

    @abstractmethod
    def document_statuses(self, documents: Sequence[DocumentName]) -> dict[DocumentName, DocumentStatus]:
        """Return what is known of documents, given as pairs of collection and id; unknown ones are left out."""

    @abstractmethod
    def documents_page(
        self, collection: str, *, state: str | None, after: str | None, limit: int
    ) -> Sequence[DocumentStatus]:
        """Return documents of a collection by id, those behind `after`; fewer than `limit` only at the end."""

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

    def documents(
        self, *, collection: str = DEFAULT_COLLECTION, state: str | None = None, after: str | None = None
    ) -> Iterator[DocumentStatus]:
        """Yield the documents of a collection by id; it may be a second behind."""
        while True:
            page = self.documents_page(collection, state=state, after=after, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].document_id

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
            with within(max(0.0, patience - time.monotonic()) + LAST_POLL):
                news = watch.poll()
            found += news
            for one in news if settled is not None else ():
                settled(one)  # type: ignore[misc] # the loop is empty without it
            if news:
                pause, patience = NEXT_POLL, time.monotonic() + timeout
            elif time.monotonic() > patience:
                break
            if not watch.hurries:
                time.sleep(pause)
                pause = min(LAST_POLL, pause * 1.5)
        return found


class SharedQueryCalls(ABC):
    """Asking and waiting in one call."""

    @abstractmethod
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

    @abstractmethod
    def wait(self, job_id: str, *, timeout: float = 60.0) -> Job:
        """Wait for a job to end; return it as it is when `timeout` seconds are over, ended or not.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """

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
        until = time.monotonic() + timeout
        with within(timeout):
            job = self.submit_query(text, timeout=timeout, **options)
        return result_of(self.wait(job.job_id, timeout=max(0.0, until - time.monotonic()) + MARGIN_SECONDS))


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


def prepared(document: DocumentLike) -> DocumentLike:
    """Return the document with raw bytes under `content` as base64, which is how a payload has them."""
    if isinstance(document, DocumentInput) or not isinstance(document.get("content"), bytes):
        return document
    return {**document, "content": base64.b64encode(document["content"])}


def size_of(document: DocumentLike) -> int:
    """Return about how many bytes a document takes in a request."""
    text, content = (
        (document.text, document.content)
        if isinstance(document, DocumentInput)
        else (document.get("text"), document.get("content"))
    )
    return sum(len(body) for body in (text, content) if isinstance(body, str | bytes)) + 1_000
