"""What callers are told of documents."""

from second_opinion.pipeline.ports import DocumentStore
from second_opinion.schemas.document import DocumentRecord, DocumentState, DocumentStatus, document_key
from second_opinion.schemas.errors import UnknownDocument


def document_status(documents: DocumentStore, collection: str, document_id: str) -> DocumentStatus:
    """Return what is known of a document right now.

    Raises:
        UnknownDocument: If it was never sent, or was deleted so long ago that its record is gone.
    """
    key = document_key(collection, document_id)
    seen = documents.get([key]).get(key)
    if seen is None:
        raise UnknownDocument.named(document_id, collection)
    return status_of(seen.record)


def listed_documents(
    documents: DocumentStore, collection: str, *, state: str | None = None, after: str | None = None, limit: int = 100
) -> list[DocumentStatus]:
    """Return the documents of a collection by id, those behind the id `after`. Lags behind by about a second."""
    return [status_of(record) for record in documents.listed(collection, state=state, after=after, limit=limit)]


def status_of(record: DocumentRecord) -> DocumentStatus:
    """Return what callers are told of a record."""
    indexed = record.state is DocumentState.INDEXED
    return DocumentStatus(
        collection=record.collection,
        document_id=record.document_id,
        title=record.title,
        state=record.state,
        target=record.target,
        searchable=bool(record.committed),
        current=indexed or record.state is DocumentState.DELETED,
        chunks=max((one.chunks for one in record.committed.values()), default=0),
        source_version=record.source_version,
        attempts=record.attempts,
        error=record.error,
        accepted_at=record.accepted_at,
        updated_at=record.updated_at,
    )
