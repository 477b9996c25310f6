"""What callers can read of documents: their status, and the chunks that queries see."""

from collections.abc import Sequence

from second_opinion.pipeline.ingest import listed_documents, status_of
from second_opinion.pipeline.ports import ChunkIndex, CollectionStore, DocumentStore
from second_opinion.schemas.chunk import ChunkHit, chunk_id
from second_opinion.schemas.document import DocumentStatus, document_key
from second_opinion.schemas.errors import UnknownDocument

CHUNKS_PER_READ = 500


class DocumentReader:
    """Reads records and chunks for callers."""

    def __init__(self, *, records: DocumentStore, chunks: ChunkIndex, collections: CollectionStore) -> None:
        self._records = records
        self._chunks = chunks
        self._collections = collections

    def statuses(self, documents: Sequence[tuple[str, str]]) -> dict[tuple[str, str], DocumentStatus]:
        """Return the statuses of documents, given as pairs of collection and id; unknown ones are left out."""
        keys = {document_key(collection, name): (collection, name) for collection, name in documents}
        found = self._records.get(list(keys))
        return {keys[key]: status_of(seen.record) for key, seen in found.items()}

    def listed(self, collection: str, *, state: str | None, after: str | None, limit: int) -> list[DocumentStatus]:
        """Return statuses of a collection by document id, those behind `after`.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        self._collections.get(collection)
        return listed_documents(self._records, collection, state=state, after=after, limit=limit)

    def chunks(self, collection: str, document_id: str) -> list[ChunkHit]:
        """Return the chunks of a document that readers see, in order.

        Raises:
            UnknownCollection: If there is no such collection.
            UnknownDocument: If the collection has no such document.
        """
        index = self._collections.get(collection).index
        key = document_key(collection, document_id)
        seen = self._records.get([key]).get(key)
        if seen is None:
            raise UnknownDocument.named(document_id, collection)
        committed = seen.record.committed.get(index)
        if committed is None:
            return []
        ids = [chunk_id(key, committed.write_set, ordinal) for ordinal in range(committed.chunks)]
        found: dict[str, ChunkHit] = {}
        for start in range(0, len(ids), CHUNKS_PER_READ):
            found |= self._chunks.get(index, ids[start : start + CHUNKS_PER_READ])
        return [found[name] for name in ids if name in found]
