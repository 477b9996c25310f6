"""Retrieval: the candidates of both lists, read so that every document is seen old and whole or new and whole.

A search shows what was refreshed, and that can be ahead of or behind what is committed. So what it finds is held
against the records:

1. Search both lists, deeper than the candidates that are wanted.
2. Read the records of all documents found. A hit counts when its write set is the one committed in its index.
3. A list that showed another set of a committed document is searched again, filtered to the committed sets. When the
   record still names the searched set afterwards, that search was the truth about the document in that list, be
   it a hit or none. When it does not, the document changed meanwhile and is searched once more, at most three times.
4. A list that was full and now has too few hits is searched twice as deep, at most twice.

Ranks are counted after all this, from 1, in each list by the list's own score. What step 3 brings in from beyond the
end of a full list gets no rank there: nobody knows what else stands between.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from second_opinion.pipeline.filtering import check_filters
from second_opinion.pipeline.ports import (
    ChunkIndex,
    CollectionStore,
    DocumentStore,
    Embedder,
    Guard,
    ListedHit,
    SearchHits,
    SearchRequest,
    no_guard,
)
from second_opinion.schemas.candidate import Candidate, Retrieval
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import CollectionRecord, IndexFingerprint
from second_opinion.schemas.query import Query

OVERSAMPLING: Final = 1.5
MAX_RESOLVING_SEARCHES: Final = 3
MAX_DOUBLINGS: Final = 2


@dataclass(frozen=True, slots=True)
class RetrievalParts:
    """What retrieval needs from the outside.

    Attributes:
        former: Bi-encoders of indices that were made before the settings were changed.
    """

    collections: CollectionStore
    documents: DocumentStore
    chunks: ChunkIndex
    embedder: Embedder
    former: Mapping[IndexFingerprint, Embedder] = field(default_factory=dict)

    def embedder_of(self, record: CollectionRecord) -> Embedder:
        """Return the bi-encoder that made the index that is read; the collection's store vouches that there is one."""
        if not self.former:
            return self.embedder
        return self.former.get(self.collections.made_by(record)[record.index], self.embedder)


def retrieve(query: Query, parts: RetrievalParts, *, guard: Guard = no_guard) -> Retrieval:
    """Return the chunks that either list holds for a query, with their ranks.

    Args:
        query: The question with every choice made.
        parts: The stores and the bi-encoder.
        guard: Called before each round trip.

    Raises:
        UnknownCollection: If there is no such collection.
        IndexMismatch: If the collection's index was made with another model.
        UnknownFilterField: If a filter names a field that no document has.
        FilterTypeMismatch: If a filter compares a field with values of another type.
        StoreUnavailable: If Elasticsearch does not answer.
    """
    collection = parts.collections.get(query.collection)
    if query.filters:
        check_filters(query.filters, parts.collections.field_types(query.collection), collection=query.collection)
    guard()
    started = time.perf_counter()
    vector = parts.embedder_of(collection).embed_query(query.text)
    embedded = time.perf_counter()
    request = SearchRequest(
        index=collection.index,
        text=query.text,
        vector=vector,
        filters=query.filters,
        depth=math.ceil(OVERSAMPLING * query.choices.candidates),
        bm25=query.choices.bm25_weight > 0.0,
        knn=query.choices.knn_weight > 0.0,
    )
    reader = _Reader(parts.documents, parts.chunks, guard)
    found = _read_deep_enough(reader, request, query.choices.candidates)
    return Retrieval(
        candidates=tuple(_candidates(found.bm25, found.knn)),
        stale_dropped=found.stale_dropped,
        rounds=reader.searches,
        depth=found.depth,
        calibration_id=collection.calibration,
        calibrations=collection.calibrations,
        milliseconds={
            "embed": (embedded - started) * 1_000,
            "search": reader.search_seconds * 1_000,
            "verify": reader.verify_seconds * 1_000,
        },
    )


@dataclass(slots=True)
class _List:
    """One list while it is read: hits by chunk id, and the place of the last one, if there may be more behind it."""

    hits: dict[str, ListedHit] = field(default_factory=dict)
    end: tuple[float, str] | None = None

    @classmethod
    def of(cls, hits: Sequence[ListedHit], *, full: bool) -> Self:
        found = cls(end=max(map(_place, hits)) if full and hits else None)
        found.add(hits)
        return found

    def add(self, hits: Iterable[ListedHit]) -> None:
        for hit in hits:
            if self.end is None or _place(hit) <= self.end:
                self.hits.setdefault(hit.chunk.chunk_id, hit)

    def current(self, committed: dict[str, str]) -> list[ListedHit]:
        return [hit for hit in self.hits.values() if committed.get(hit.chunk.key) == hit.chunk.write_set]

    def stale(self, committed: dict[str, str]) -> set[str]:
        """Return the committed documents of which this list shows only other sets."""
        shown = {hit.chunk.key for hit in self.current(committed)}
        return {hit.chunk.key for hit in self.hits.values() if hit.chunk.key in committed} - shown

    def ranked(self, committed: dict[str, str], depth: int) -> list[ListedHit]:
        ordered = sorted(self.current(committed), key=_place)
        return [replace(hit, rank=rank) for rank, hit in enumerate(ordered[:depth], start=1)]


@dataclass(frozen=True, slots=True)
class _Read:
    bm25: list[ListedHit]
    knn: list[ListedHit]
    stale_dropped: int
    depth: int
    short: bool


@dataclass(slots=True)
class _Reader:
    """Reads both lists by the protocol, counting searches and time."""

    documents: DocumentStore
    chunks: ChunkIndex
    guard: Guard
    searches: int = 0
    search_seconds: float = 0.0
    verify_seconds: float = 0.0

    def read(self, request: SearchRequest, wanted: int) -> _Read:
        hits = self._search(request)
        bm25 = _List.of(hits.bm25, full=hits.bm25_full)
        knn = _List.of(hits.knn, full=hits.knn_full)
        committed = self._committed(request.index, {hit.chunk.key for hit in (*hits.bm25, *hits.knn)})
        open_keys = bm25.stale(committed) | knn.stale(committed)
        for _ in range(MAX_RESOLVING_SEARCHES):
            if not open_keys:
                break
            searched = {key: committed[key] for key in open_keys}
            more = self._search(replace(request, write_sets=tuple(sorted(searched.values()))))
            bm25.add(more.bm25)
            knn.add(more.knn)
            now = self._committed(request.index, open_keys)
            for key in open_keys:
                committed.pop(key)
            committed.update(now)
            open_keys = {key for key, write_set in now.items() if write_set != searched[key]}
        unresolved = {key for key in open_keys if key in committed}
        dropped = _unresolved_hits((bm25, knn), unresolved, committed)
        short = any(one.end is not None and len(one.current(committed)) < wanted for one in (bm25, knn))
        depth = request.depth
        return _Read(bm25.ranked(committed, depth), knn.ranked(committed, depth), dropped, depth, short)

    def _search(self, request: SearchRequest) -> SearchHits:
        self.guard()
        started = time.perf_counter()
        try:
            return self.chunks.search(request)
        finally:
            self.searches += 1
            self.search_seconds += time.perf_counter() - started

    def _committed(self, index: str, keys: Iterable[str]) -> dict[str, str]:
        """Return the write set that is committed in `index` for each document that has one."""
        wanted = sorted(keys)
        if not wanted:
            return {}
        self.guard()
        started = time.perf_counter()
        records = self.documents.get(wanted)
        self.verify_seconds += time.perf_counter() - started
        return {
            key: seen.record.committed[index].write_set
            for key, seen in records.items()
            if index in seen.record.committed
        }


def _read_deep_enough(reader: _Reader, request: SearchRequest, wanted: int) -> _Read:
    found = reader.read(request, wanted)
    for _ in range(MAX_DOUBLINGS):
        if not found.short:
            break
        request = replace(request, depth=request.depth * 2)
        found = reader.read(request, wanted)
    return found


def _place(hit: ListedHit) -> tuple[float, str]:
    """Return what a list is sorted by: the score, highest first, then the chunk id."""
    return (-hit.es_score, hit.chunk.chunk_id)


def _unresolved_hits(lists: Sequence[_List], unresolved: set[str], committed: dict[str, str]) -> int:
    """Count the chunks of unresolved documents of which nothing current was found in either list."""
    shown = {hit.chunk.key for one in lists for hit in one.current(committed)}
    return len({c for one in lists for c, hit in one.hits.items() if hit.chunk.key in unresolved - shown})


def _candidates(bm25: Sequence[ListedHit], knn: Sequence[ListedHit]) -> list[Candidate]:
    chunks: dict[str, ChunkHit] = {hit.chunk.chunk_id: hit.chunk for hit in (*bm25, *knn)}
    in_bm25 = {hit.chunk.chunk_id: hit for hit in bm25}
    in_knn = {hit.chunk.chunk_id: hit for hit in knn}
    return [
        Candidate(
            chunk=chunk,
            bm25_rank=in_bm25[chunk_id].rank if chunk_id in in_bm25 else None,
            bm25_score=in_bm25[chunk_id].es_score if chunk_id in in_bm25 else None,
            knn_rank=in_knn[chunk_id].rank if chunk_id in in_knn else None,
            knn_score=in_knn[chunk_id].es_score if chunk_id in in_knn else None,
        )
        for chunk_id, chunk in chunks.items()
    ]
