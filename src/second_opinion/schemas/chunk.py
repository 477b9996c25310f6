"""Chunks: the passages a document is cut into, and how the index keeps them."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from pydantic import Field

from second_opinion.schemas.base import Record
from second_opinion.schemas.document import Metadata

CONTEXT_SEPARATOR: Final = " › "
CONTEXT_PART_CHARACTERS: Final = 160


class Chunk(Record):
    """One passage of a document.

    Attributes:
        ordinal: Position among the document's chunks, from 0.
        text: The passage, exactly `document_text[start:end]`.
        start: Offset of its first character in the document's text.
        end: Offset behind its last character.
        headings: Titles of the sections it stands in, outermost first, without the document's own title.
        truncated: True when the models see only its beginning (an unbreakable passage beyond their window).
    """

    ordinal: int
    text: str
    start: int
    end: int
    headings: tuple[str, ...] = ()
    truncated: bool = False


class ChunkHit(Record):
    """One chunk as it comes back from the index, with what is needed to judge and to cite it.

    Attributes:
        chunk_id: `K@w@ordinal`.
        key: K of its document.
        write_set: w, the set it was written in; readers see it only while that set is committed.
        index: The physical index it was read from.
        count: How many chunks its set has; neighbours have ordinal - 1 and ordinal + 1.
    """

    chunk_id: str
    key: str
    write_set: str
    index: str
    collection: str
    document_id: str
    title: str = ""
    uri: str = ""
    headings: tuple[str, ...] = ()
    text: str
    start: int
    end: int
    ordinal: int
    count: int
    metadata: Metadata = Field(default_factory=dict)
    truncated: bool = False

    @property
    def previous_chunk_id(self) -> str | None:
        """Id of the chunk before this one in its document."""
        return chunk_id(self.key, self.write_set, self.ordinal - 1) if self.ordinal > 0 else None

    @property
    def next_chunk_id(self) -> str | None:
        """Id of the chunk after this one in its document."""
        return chunk_id(self.key, self.write_set, self.ordinal + 1) if self.ordinal + 1 < self.count else None


class IndexedChunk(ChunkHit):
    """A chunk ready to be written: what comes back in a hit, and its vector.

    Attributes:
        vector: Embedding of `passage_text`, unit length, as many floats as the index has dims.
        embedding_key: What the vector depends on, from `embedding_key`; empty when it is not to be found again.
        written_at: Unix seconds; the sweeper leaves young sets alone.
    """

    vector: tuple[float, ...]
    embedding_key: str = ""
    written_at: float


def chunk_id(key: str, write_set: str, ordinal: int) -> str:
    """Return the id of a chunk; known ahead of reading, so that a set can be deleted without a search."""
    return f"{key}@{write_set}@{ordinal}"


def embedding_key(model: str, passage: str) -> str:
    """Return the hash of a bi-encoder (id and revision) and the passage it reads: the same key, the same vector."""
    return blake2b(f"{model}\x00{passage}".encode("utf-8", "replace"), digest_size=16).hexdigest()


def write_set_id(target: str, attempt: int) -> str:
    """Return w, the set that one attempt at an operation writes: no two attempts share chunk ids."""
    return f"{target}.{attempt}"


def passage_text(title: str, headings: Sequence[str], text: str) -> str:
    """Return what both models read of a chunk: where it stands, then what it says.

    A passage about "dosage" that does not repeat the drug's name is only understood beside its title. Long titles and
    headings are cut, so that they cannot crowd out the passage.
    """
    parts = (part.strip()[:CONTEXT_PART_CHARACTERS] for part in (title, *headings))
    context = CONTEXT_SEPARATOR.join(part for part in parts if part)
    return f"{context}\n{text}" if context else text
