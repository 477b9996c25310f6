"""Documents through a gateway: when a call returns, Elasticsearch has them."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from second_opinion.gateway.batching import batched
from second_opinion.gateway.calls import DocumentLike, SharedDocumentCalls, prepared, size_of
from second_opinion.gateway.loading import LoadInProgress
from second_opinion.gateway.remote.bodies import ChunkList, ReceiptList, StatusList
from second_opinion.gateway.remote.connection import Connection
from second_opinion.gateway.remote.loads import RemoteLoads
from second_opinion.gateway.remote.requests import GatewayRequest, parsed, path_of
from second_opinion.gateway.watching import DocumentName
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import DocumentInput, DocumentStatus, Receipt
from second_opinion.schemas.errors import GatewayUnavailable, OpinionError, Overloaded, UnknownDocument
from second_opinion.workers.clock import SystemClock

AT_ONCE: Final = 500
LINES: Final = {"Content-Type": "application/x-ndjson"}


class RemoteDocumentCalls(SharedDocumentCalls):
    """What a client does with documents, asked of a gateway.

    Args:
        connection: To the gateway.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

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
        for batch in batched(map(prepared, documents), size_of):
            yield from self._accept(batch, overloaded)

    def _accept(
        self, batch: Sequence[DocumentLike], overloaded: Callable[[Overloaded], object] | None
    ) -> list[Receipt]:
        found: dict[int, Receipt] = {}
        lines: dict[int, bytes] = {}
        for place, document in enumerate(batch):
            try:
                lines[place] = _line(document)
            except OpinionError as problem:
                found[place] = Receipt.rejected(document, problem)
        while lines:
            receipts = dict(zip(lines, self._send(list(lines.values())), strict=True))
            full = _no_room(receipts.values())
            found |= {place: one for place, one in receipts.items() if not _is_overloaded(one)}
            lines = {place: line for place, line in lines.items() if place not in found}
            if full is not None and overloaded is None:
                raise full
            if full is not None and overloaded is not None:
                overloaded(full)
        return [found[place] for place in range(len(batch))]

    def _send(self, lines: Sequence[bytes]) -> list[Receipt]:
        request = GatewayRequest("POST", "/v1/documents/batch", body=b"\n".join([*lines, b""]), headers=LINES)
        answered = self._connection.ask(request).content.splitlines()
        receipts = [Receipt.model_validate_json(line) for line in answered if line.strip()]
        if len(receipts) != len(lines):
            raise GatewayUnavailable(f"the gateway sent {len(receipts)} receipts for {len(lines)} documents")
        return [_plain(number, receipt) for number, receipt in enumerate(receipts, 1)]

    def delete_document(
        self, document_id: str, *, collection: str = DEFAULT_COLLECTION, source_version: int | None = None
    ) -> Receipt:
        """Delete a document: no query that begins after this sees it.

        Raises:
            UnknownDocument: If there is none of this id.
            InvalidRequest: If the id or the version cannot be accepted.
        """
        path = path_of("v1", "collections", collection, "documents", document_id)
        request = GatewayRequest("DELETE", path, query={"source_version": source_version}, repeatable=False)
        return parsed(self._connection.ask(request), Receipt)

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
        found: dict[DocumentName, DocumentStatus] = {}
        for start in range(0, len(documents), AT_ONCE):
            names = [
                {"collection": collection, "id": document_id}
                for collection, document_id in documents[start : start + AT_ONCE]
            ]
            request = GatewayRequest("POST", "/v1/documents/statuses", body={"documents": names})
            answered = parsed(self._connection.ask(request), StatusList)
            found |= {(one.collection, one.document_id): one for one in answered.documents}
        return found

    def documents_page(
        self, collection: str, *, state: str | None, after: str | None, limit: int
    ) -> Sequence[DocumentStatus]:
        """Return documents of a collection by id, those behind `after`; fewer than `limit` only at the end."""
        query = {"state": state, "after": after, "limit": limit}
        request = GatewayRequest("GET", path_of("v1", "collections", collection, "documents"), query=query)
        return parsed(self._connection.ask(request), StatusList).documents

    def document_chunks(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> list[ChunkHit]:
        """Return the chunks of a document that readers see, in order.

        Raises:
            UnknownDocument: If there is none of this id in the collection.
        """
        path = path_of("v1", "collections", collection, "chunks")
        request = GatewayRequest("GET", path, query={"document": document_id})
        return parsed(self._connection.ask(request), ChunkList).chunks

    def retry_documents(self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[Receipt]:
        """Begin anew on documents that have failed, with what was sent before; return a receipt for each, in order."""
        return self._dead_letters("retry", document_ids, collection)

    def purge_documents(self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[Receipt]:
        """Give up the failed versions of documents: an older version that is searchable stays, otherwise they go."""
        return self._dead_letters("purge", document_ids, collection)

    def bulk_load(self, collection: str = DEFAULT_COLLECTION) -> LoadInProgress:
        """Return a context in which a collection is filled for the first time: without replicas and periodic refreshes.

        What is sent in it should be waited for in it. The collection's settings come back when it ends, at the latest
        two minutes after this process was killed.
        """
        clock = SystemClock()
        return LoadInProgress(RemoteLoads(self._connection, clock), collection, clock=clock)

    def _dead_letters(self, verb: str, document_ids: Sequence[str], collection: str) -> list[Receipt]:
        path = path_of("v1", "collections", collection, "dead-letters", verb)
        found: list[Receipt] = []
        for start in range(0, len(document_ids), AT_ONCE):
            body = {"ids": list(document_ids[start : start + AT_ONCE])}
            request = GatewayRequest("POST", path, body=body, repeatable=False)
            found += parsed(self._connection.ask(request), ReceiptList).receipts
        return found


def _no_room(receipts: Iterable[Receipt]) -> Overloaded | None:
    """Return what says that there was no room for some of these documents; None when there was for all.

    Raises:
        TransientError: If documents were not taken in for another reason that may pass.
    """
    found: Overloaded | None = None
    for receipt in receipts:
        problem = None if receipt.error is None else OpinionError.from_info(receipt.error)
        if isinstance(problem, Overloaded):
            found = problem
        elif problem is not None and problem.transient:
            raise problem
    return found


def _is_overloaded(receipt: Receipt) -> bool:
    return receipt.error is not None and receipt.error.code == Overloaded.code


def _line(document: DocumentLike) -> bytes:
    """Return a document as one line, checked here, so that what is wrong with it is said as the gateway would."""
    whole = document if isinstance(document, DocumentInput) else parse_request(DocumentInput, document)
    payload = whole.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"id": whole.id, **payload}).encode()


def _plain(number: int, receipt: Receipt) -> Receipt:
    """Return a receipt without the number of the line, which only means something to whoever sent lines."""
    if receipt.error is None:
        return receipt
    message = receipt.error.message.removeprefix(f"line {number}: ")
    return receipt.model_copy(update={"error": receipt.error.model_copy(update={"message": message})})
