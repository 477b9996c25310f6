"""What makes the chunks of an index: its chunker and its bi-encoder. A reindex has two of them side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from second_opinion.pipeline.ports import Chunker, CollectionStore, Embedder
from second_opinion.schemas.collection import CollectionRecord, IndexFingerprint
from second_opinion.schemas.errors import IndexMismatch


@dataclass(frozen=True, slots=True)
class Maker:
    """A chunker and a bi-encoder that belong together."""

    chunker: Chunker
    embedder: Embedder

    @property
    def model(self) -> str:
        """The bi-encoder with its revision: what vectors are known by."""
        return f"{self.embedder.spec.model}@{self.embedder.spec.revision}"


class Makers:
    """The makers that this process has.

    Args:
        collections: Knows what made which index.
        known: Makers by what they make: the one that the settings name, and former ones.
    """

    def __init__(self, collections: CollectionStore, known: Mapping[IndexFingerprint, Maker]) -> None:
        self._collections = collections
        self._known = known

    def of(self, record: CollectionRecord, indices: Iterable[str]) -> list[tuple[Maker, tuple[str, ...]]]:
        """Return who makes these indices of a collection, each maker once.

        Raises:
            IndexMismatch: If one was made by a model or chunker that this process has not.
            UnknownCollection: If one is gone.
        """
        made_by = self._collections.made_by(record)
        found: dict[IndexFingerprint, list[str]] = {}
        for index in indices:
            found.setdefault(made_by[index], []).append(index)
        if missing := found.keys() - self._known.keys():
            names = ", ".join(f"{one.embedding_model} and {one.chunker}" for one in missing)
            raise IndexMismatch(f"collection {record.name!r} has an index made with {names}, which this worker has not")
        return [(self._known[one], tuple(names)) for one, names in found.items()]
