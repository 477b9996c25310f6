"""A chunk of a document as an index holds it."""

from dataclasses import dataclass

from second_opinion.pipeline.ingest.vectors import PassageVector
from second_opinion.schemas.chunk import Chunk, IndexedChunk, chunk_id
from second_opinion.schemas.document import ContentRecord, DocumentRecord


@dataclass(frozen=True, slots=True)
class WrittenTo:
    """Where a chunk is written: its index, the set it belongs to, how many chunks that has, and when."""

    index: str
    write_set: str
    count: int
    at: float


def indexed_chunk(
    record: DocumentRecord, content: ContentRecord, chunk: Chunk, vector: PassageVector, to: WrittenTo
) -> IndexedChunk:
    """Return a chunk of a document as an index holds it."""
    return IndexedChunk(
        chunk_id=chunk_id(record.key, to.write_set, chunk.ordinal),
        key=record.key,
        write_set=to.write_set,
        index=to.index,
        collection=record.collection,
        document_id=record.document_id,
        title=content.title,
        uri=content.uri,
        headings=chunk.headings,
        text=chunk.text,
        start=chunk.start,
        end=chunk.end,
        ordinal=chunk.ordinal,
        count=to.count,
        metadata=content.metadata,
        truncated=chunk.truncated,
        vector=tuple(vector.row),
        embedding_key=vector.key,
        written_at=to.at,
    )
