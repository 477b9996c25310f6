"""What one message of the index queue is taken apart into: documents, their parts by maker, and pieces of these."""

from collections.abc import Iterator
from dataclasses import dataclass

from second_opinion.pipeline.ingest.leases import Held
from second_opinion.pipeline.ingest.makers import Maker
from second_opinion.pipeline.ingest.vectors import PassageVector
from second_opinion.pipeline.ports import CollectionStore
from second_opinion.schemas.chunk import Chunk
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import ContentRecord, Metadata, WriteSet, field_type


@dataclass(slots=True)
class Part:
    """One document's chunks by one maker, and the indices that get them.

    Attributes:
        attempted: Chunks that may have been written.
    """

    maker: Maker
    indices: tuple[str, ...]
    chunks: list[Chunk]
    attempted: int = 0


@dataclass(slots=True)
class DocumentWork:
    """One document in work."""

    held: Held
    content: ContentRecord
    write_set: str
    parts: list[Part]

    @property
    def count(self) -> int:
        """Chunks of the maker that has the most."""
        return max(len(part.chunks) for part in self.parts)

    @property
    def is_written(self) -> bool:
        """Whether all of its chunks are in all of their indices."""
        return self.held.ending is None and all(part.attempted == len(part.chunks) for part in self.parts)

    def sets(self) -> dict[str, WriteSet]:
        """The sets as they are once all chunks are written."""
        return {index: WriteSet(write_set=self.write_set, chunks=len(part.chunks)) for index, part in self._places()}

    def attempted_sets(self) -> dict[str, WriteSet]:
        """The sets as far as anything of them may have been written."""
        return {index: WriteSet(write_set=self.write_set, chunks=part.attempted) for index, part in self._places()}

    def _places(self) -> Iterator[tuple[str, Part]]:
        return ((index, part) for part in self.parts for index in part.indices)


Piece = tuple[DocumentWork, Part, Chunk]


@dataclass(frozen=True, slots=True)
class EmbeddedPiece:
    """One chunk with its vector."""

    job: DocumentWork
    part: Part
    chunk: Chunk
    vector: PassageVector


class SeenCollections:
    """The collections of one message's documents, each asked for once.

    A look for each document was a third of what this thread does beside the model.
    """

    def __init__(self, store: CollectionStore) -> None:
        self._store = store
        self._found: dict[str, CollectionRecord] = {}
        self._registered: set[tuple[str, str, str | None]] = set()

    def ready_for(self, name: str, metadata: Metadata) -> CollectionRecord:
        """Return a collection in which these fields can be filtered on.

        Raises:
            OpinionError: As `CollectionStore.get` and `register_fields` do.
        """
        record = self._found.get(name)
        if record is None:
            record = self._found[name] = self._store.get(name)
        fields = {(name, each, field_type(each, value)) for each, value in metadata.items()}
        if not fields <= self._registered:
            self._store.register_fields(name, metadata)
            self._registered |= fields
        return record
