"""Documents, accepted in the caller's own process: when a call returns, Elasticsearch has them."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from second_opinion.gateway.batching import batched
from second_opinion.gateway.calls import DocumentLike, SharedDocumentCalls, prepared, size_of
from second_opinion.gateway.direct.bounded import bounded
from second_opinion.gateway.documents import DocumentReader
from second_opinion.gateway.loading import LoadInProgress
from second_opinion.gateway.parts import Parts
from second_opinion.gateway.watching import DocumentName
from second_opinion.pipeline.ingest import Acceptance
from second_opinion.pipeline.ingest.purge import purge_failed
from second_opinion.pipeline.ingest.retry import retry_failed
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import DeletionInput, DocumentStatus, Receipt
from second_opinion.schemas.errors import OpinionError, Overloaded, UnknownDocument


class DocumentCalls(SharedDocumentCalls):
    """What a client does with documents.

    Args:
        parts: The connections to work with.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.call_seconds = parts.call_seconds
        stores = parts.stores
        self._acceptance = Acceptance(stores, parts.policy, admit=parts.admit)
        self._reader = DocumentReader(records=stores.documents, chunks=stores.chunks, collections=stores.collections)

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

    @bounded
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

    @bounded
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

    @bounded
    def document_statuses(self, documents: Sequence[DocumentName]) -> dict[DocumentName, DocumentStatus]:
        """Return what is known of documents, given as pairs of collection and id; unknown ones are left out."""
        return self._reader.statuses(documents)

    @bounded
    def documents_page(
        self, collection: str, *, state: str | None, after: str | None, limit: int
    ) -> Sequence[DocumentStatus]:
        """Return documents of a collection by id, those behind `after`; fewer than `limit` only at the end."""
        return self._reader.listed(collection, state=state, after=after, limit=limit)

    @bounded
    def document_chunks(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> list[ChunkHit]:
        """Return the chunks of a document that readers see, in order.

        Raises:
            UnknownDocument: If there is none of this id in the collection.
        """
        return self._reader.chunks(collection, document_id)

    @bounded
    def retry_documents(self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[Receipt]:
        """Begin anew on documents that have failed, with what was sent before; return a receipt for each, in order."""
        return retry_failed(self.parts.stores, self.parts.policy, collection, document_ids)

    @bounded
    def purge_documents(self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[Receipt]:
        """Give up the failed versions of documents: an older version that is searchable stays, otherwise they go."""
        return purge_failed(self.parts.stores, collection, document_ids)

    def bulk_load(self, collection: str = DEFAULT_COLLECTION) -> LoadInProgress:
        """Return a context in which a collection is filled for the first time: without replicas and periodic refreshes.

        What is sent in it should be waited for in it. The collection's settings come back when it ends, at the latest
        two minutes after this process was killed.
        """
        stores = self.parts.stores
        return LoadInProgress(stores.collections, collection, clock=stores.clock)
