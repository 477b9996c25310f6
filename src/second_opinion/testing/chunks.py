"""Chunks in memory: what is written is searched only after a refresh, as in the real index."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

import numpy as np

from second_opinion.pipeline.filtering import matches
from second_opinion.pipeline.ports import ListedHit, SearchHits, SearchRequest, Vectors, WrittenSet
from second_opinion.schemas.chunk import ChunkHit, IndexedChunk, passage_text
from second_opinion.schemas.errors import ErrorInfo

WORD: Final = re.compile(r"\w+")


class MemoryChunks:
    """A `ChunkIndex` in this process. Its BM25 list counts shared words; its kNN list is exact."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stored: dict[str, dict[str, IndexedChunk]] = {}
        self._visible: dict[str, dict[str, IndexedChunk]] = {}
        self._hits: dict[int, tuple[IndexedChunk, ChunkHit]] = {}

    def write(self, index: str, chunks: Sequence[IndexedChunk]) -> list[ErrorInfo | None]:
        """Write chunks; return an error or None for each."""
        with self._lock:
            self._stored.setdefault(index, {}).update({chunk.chunk_id: chunk for chunk in chunks})
        return [None] * len(chunks)

    def refresh(self, index: str) -> None:
        """Make what was written visible to searches."""
        with self._lock:
            self._visible[index] = dict(self._stored.get(index, {}))

    def delete(self, index: str, chunk_ids: Sequence[str]) -> None:
        """Remove chunks by id; they are found until the next refresh."""
        with self._lock:
            for chunk_id in chunk_ids:
                self._stored.get(index, {}).pop(chunk_id, None)

    def search(self, request: SearchRequest) -> SearchHits:
        """Search both lists with the same filters."""
        chunks = [chunk for chunk in self._visible.get(request.index, {}).values() if _fits(chunk, request)]
        bm25 = self._listed(_by_words(request, chunks), request.depth) if request.bm25 else ()
        knn = self._listed(_by_vector(request, chunks), request.depth) if request.knn else ()
        return SearchHits(bm25, knn, bm25_full=len(bm25) >= request.depth, knn_full=len(knn) >= request.depth)

    def get(self, index: str, chunk_ids: Sequence[str]) -> dict[str, ChunkHit]:
        """Return chunks by id."""
        stored = self._stored.get(index, {})
        return {chunk_id: self._hit(stored[chunk_id]) for chunk_id in chunk_ids if chunk_id in stored}

    def embeddings(self, index: str, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return the vectors that were written under these `embedding_key`s and are visible, each of shape (dims,)."""
        wanted = set(keys)
        visible = self._visible.get(index, {}).values()
        return {one.embedding_key: np.array(one.vector, np.float32) for one in visible if one.embedding_key in wanted}

    def count(self, index: str) -> int:
        """Return how many chunks the index holds, committed or not."""
        return len(self._stored.get(index, {}))

    def write_sets(self, index: str, *, before: float, limit: int, after: str | None = None) -> list[WrittenSet]:
        """Return sets written before a moment, by key and set, those behind `after` (a `key@set`); refreshes first."""
        self.refresh(index)
        sets: dict[str, WrittenSet] = {}
        for chunk in list(self._stored.get(index, {}).values()):
            if chunk.written_at < before:
                name = f"{chunk.key}@{chunk.write_set}"
                sets[name] = WrittenSet(index, chunk.key, chunk.write_set, chunk.count, chunk.written_at)
        names = sorted(name for name in sets if after is None or name > after)
        return [sets[name] for name in names[:limit]]

    def set_sizes(self, index: str, write_sets: Sequence[str]) -> dict[str, int]:
        """Return how many visible chunks there are of each of these sets; those of none are left out."""
        wanted = set(write_sets)
        return dict(Counter(one.write_set for one in self._visible.get(index, {}).values() if one.write_set in wanted))

    def _listed(self, scored: Mapping[str, tuple[float, IndexedChunk]], depth: int) -> tuple[ListedHit, ...]:
        best = sorted(scored.values(), key=lambda pair: (-pair[0], pair[1].chunk_id))[:depth]
        return tuple(ListedHit(rank, score, self._hit(chunk)) for rank, (score, chunk) in enumerate(best, start=1))

    def _hit(self, chunk: IndexedChunk) -> ChunkHit:
        """Return a chunk as searches give it back; made once, since simulations search the same ones all the time."""
        known = self._hits.get(id(chunk))
        if known is None or known[0] is not chunk:
            made = ChunkHit.model_validate(chunk.model_dump(exclude={"vector", "embedding_key", "written_at"}))
            known = self._hits[id(chunk)] = (chunk, made)
        return known[1]


def _words(text: str) -> set[str]:
    return set(WORD.findall(text.lower()))


def _by_words(request: SearchRequest, chunks: Sequence[IndexedChunk]) -> dict[str, tuple[float, IndexedChunk]]:
    asked = _words(request.text)
    shared = ((len(asked & _words(passage_text(c.title, c.headings, c.text))), c) for c in chunks)
    return {chunk.chunk_id: (float(count), chunk) for count, chunk in shared if count}


def _by_vector(request: SearchRequest, chunks: Sequence[IndexedChunk]) -> dict[str, tuple[float, IndexedChunk]]:
    return {c.chunk_id: ((1.0 + float(np.dot(request.vector, np.asarray(c.vector)))) / 2.0, c) for c in chunks}


def _fits(chunk: IndexedChunk, request: SearchRequest) -> bool:
    if request.write_sets is not None and chunk.write_set not in request.write_sets:
        return False
    return matches(request.filters, chunk.metadata)
