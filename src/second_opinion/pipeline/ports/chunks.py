"""The index of chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from second_opinion.pipeline.ports.models import Vectors
from second_opinion.schemas.chunk import ChunkHit, IndexedChunk
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.query import Filter


@dataclass(frozen=True, slots=True)
class ListedHit:
    """A hit of one list: its place from 1, Elasticsearch's score, and the chunk."""

    rank: int
    es_score: float
    chunk: ChunkHit


@dataclass(frozen=True, slots=True)
class SearchHits:
    """Both lists of one search. A list is `full` when the index may hold more behind its end."""

    bm25: tuple[ListedHit, ...]
    knn: tuple[ListedHit, ...]
    bm25_full: bool
    knn_full: bool


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One search for both lists.

    Attributes:
        index: The physical index that is read.
        depth: How many hits for each list.
        write_sets: When given, only chunks of these sets.
        bm25: False leaves the BM25 list out (its weight is 0); likewise `knn`.
    """

    index: str
    text: str
    vector: Vectors
    filters: tuple[Filter, ...]
    depth: int
    write_sets: tuple[str, ...] | None = None
    bm25: bool = True
    knn: bool = True


@dataclass(frozen=True, slots=True)
class WrittenSet:
    """A write set found in an index, for the sweeper: whose it is and when it was written.

    Attributes:
        chunks: How many chunks the set was to have; after a crash some of them are missing.
    """

    index: str
    key: str
    write_set: str
    chunks: int
    written_at: float


class ChunkIndex(Protocol):
    """The chunks: written and searched, deleted by their known ids."""

    def write(self, index: str, chunks: Sequence[IndexedChunk]) -> list[ErrorInfo | None]:
        """Write chunks; return an error or None for each."""

    def refresh(self, index: str) -> None:
        """Make what was written visible to searches on every shard.

        Raises:
            StoreUnavailable: If one shard failed; nothing may then be committed.
        """

    def delete(self, index: str, chunk_ids: Sequence[str]) -> None:
        """Remove chunks by id; missing ones are no error."""

    def search(self, request: SearchRequest) -> SearchHits:
        """Search both lists with the same filters, in one round trip."""

    def get(self, index: str, chunk_ids: Sequence[str]) -> dict[str, ChunkHit]:
        """Return chunks by id."""

    def embeddings(self, index: str, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return the vectors that were written under these `embedding_key`s and are visible, each of shape (dims,)."""

    def count(self, index: str) -> int:
        """Return how many chunks the index holds, visible or not."""

    def write_sets(self, index: str, *, before: float, limit: int, after: str | None = None) -> list[WrittenSet]:
        """Return sets written before a moment, by key and set, those behind `after` (a `key@set`); refreshes first."""

    def set_sizes(self, index: str, write_sets: Sequence[str]) -> dict[str, int]:
        """Return how many visible chunks there are of each of these sets; those of none are left out.

        Raises:
            UnknownCollection: If the index is gone.
        """
