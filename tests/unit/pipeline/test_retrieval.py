"""Retrieval against a naive model: what a reader would see who looked at the committed chunks alone."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from second_opinion.pipeline.ports import ListedHit, SearchHits, SearchRequest, Seen, Swap
from second_opinion.pipeline.retrieval import RetrievalParts, retrieve
from second_opinion.schemas.candidate import Candidate, Retrieval
from second_opinion.schemas.chunk import IndexedChunk
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint
from second_opinion.schemas.document import DocumentRecord, DocumentState, WriteSet, document_key
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    FilterTypeMismatch,
    StoreUnavailable,
    UnknownCollection,
    UnknownFilterField,
)
from second_opinion.schemas.query import ExistsFilter, Filter, RangeFilter, TermFilter
from second_opinion.testing.builders import a_hit, a_query
from second_opinion.testing.chunks import MemoryChunks
from second_opinion.testing.collections import MemoryCollections
from second_opinion.testing.documents import MemoryDocuments
from second_opinion.testing.models import WordEmbedder

QUERY = "red fox jumps"
WORDS = ("red", "fox", "jumps", "over", "lazy", "dog")
FINGERPRINT = IndexFingerprint(embedding_model="m", embedding_revision="1", dims=64, chunker="c")
Step = Callable[[], None]


EMBEDDER = WordEmbedder()


@cache
def vector_of(text: str) -> tuple[float, ...]:
    """Return a text's vector; made once, since properties ask for the same few again and again."""
    return tuple(EMBEDDER.embed_passages([text])[0].tolist())


class ReadDocuments(MemoryDocuments):
    """Records as retrieval reads them: something may happen before each reading."""

    def __init__(self) -> None:
        super().__init__()
        self.before_get: Step = lambda: None

    def get(self, keys: Sequence[str]) -> dict[str, Seen]:
        """Let something happen, then read."""
        self.before_get()
        return super().get(keys)


class World(MemoryChunks):
    """An index, its records, and hands that change both while somebody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.documents = ReadDocuments()
        self.collections = MemoryCollections(FINGERPRINT)
        self.index = self.collections.ensure(DEFAULT_COLLECTION).index
        self.requests: list[SearchRequest] = []
        self.before_search: Step = lambda: None
        self.history: dict[str, set[str]] = {}
        self._sets = count(1)

    @property
    def parts(self) -> RetrievalParts:
        """What retrieval works with."""
        return RetrievalParts(collections=self.collections, documents=self.documents, chunks=self, embedder=EMBEDDER)

    def search(self, request: SearchRequest) -> SearchHits:
        """Let something happen, then search."""
        self.before_search()
        self.requests.append(request)
        return super().search(request)

    def put(self, document_id: str, texts: Sequence[str], **metadata: Any) -> str:
        """Write a set of chunks, refreshed but not committed."""
        write_set = f"g{next(self._sets):04d}.1"
        hits = [
            a_hit(document_id, ordinal, write_set=write_set, text=text, metadata=metadata)
            for ordinal, text in enumerate(texts)
        ]
        rows = [hit.model_copy(update={"title": ""}).model_dump() for hit in hits]
        chunks = [IndexedChunk(**row, vector=vector_of(row["text"]), written_at=1.0) for row in rows]
        self.write(self.index, chunks)
        self.refresh(self.index)
        return write_set

    def commit(self, document_id: str, write_set: str | None) -> None:
        """Make a set the one that readers see; None deletes the document."""
        key = document_key(DEFAULT_COLLECTION, document_id)
        seen = MemoryDocuments.get(self.documents, [key]).get(key)
        record = DocumentRecord(
            key=key,
            collection=DEFAULT_COLLECTION,
            document_id=document_id,
            content_hash="h",
            target="g",
            state=DocumentState.INDEXED if write_set else DocumentState.DELETED,
            committed={self.index: WriteSet(write_set=write_set, chunks=1)} if write_set else {},
            accepted_at=1.0,
            updated_at=1.0,
        )
        assert self.documents.swap([Swap(record, seen)]) != [None]
        self.history.setdefault(document_id, set()).add(write_set or "")

    def committed(self) -> set[tuple[str, str]]:
        """Return each document with the set that readers see."""
        records = self.documents.listed(DEFAULT_COLLECTION, state=None, after=None, limit=1_000)
        return {(r.document_id, r.committed[self.index].write_set) for r in records if self.index in r.committed}

    def clean(self, document_id: str, write_set: str, *, refreshed: bool) -> None:
        """Delete a set of chunks."""
        key = document_key(DEFAULT_COLLECTION, document_id)
        self.delete(self.index, [f"{key}@{write_set}@{ordinal}" for ordinal in range(20)])
        if refreshed:
            self.refresh(self.index)

    def update(self, document_id: str, texts: Sequence[str]) -> Iterator[None]:
        """Replace a document, step by step."""
        former = [write_set for one, write_set in self.committed() if one == document_id]
        write_set = self.put(document_id, texts)
        yield
        self.commit(document_id, write_set)
        yield
        for one in former:
            self.clean(document_id, one, refreshed=False)
        yield
        self.refresh(self.index)


def naive(world: World, *, bm25: bool) -> list[str]:
    """Return the ids of one list over the committed chunks alone, all of them, best first."""
    request = SearchRequest(index=world.index, text=QUERY, vector=EMBEDDER.embed_query(QUERY), filters=(), depth=10_000)
    found = MemoryChunks.search(world, request)
    hits: tuple[ListedHit, ...] = found.bm25 if bm25 else found.knn
    committed = world.committed()
    return [hit.chunk.chunk_id for hit in hits if (hit.chunk.document_id, hit.chunk.write_set) in committed]


def ranked(retrieval: Retrieval, rank: Callable[[Candidate], int | None]) -> list[str]:
    """Return the ids of one list by rank, and make sure that ranks run from 1."""
    listed = sorted((place, c.chunk.chunk_id) for c in retrieval.candidates if (place := rank(c)) is not None)
    assert [place for place, _ in listed] == list(range(1, len(listed) + 1))
    return [chunk for _, chunk in listed]


texts = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), min_size=1, max_size=3)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """An index with documents, deleted ones, and sets that were never or are no longer committed."""
    world = World()
    for number in range(draw(st.integers(0, 7))):
        document_id = f"document-{number}"
        for _ in range(draw(st.integers(0, 2))):
            world.put(document_id, draw(texts))
        match draw(st.sampled_from(["committed", "committed", "deleted", "unknown"])):
            case "committed":
                world.commit(document_id, world.put(document_id, draw(texts)))
            case "deleted":
                world.commit(document_id, None)
        for _ in range(draw(st.integers(0, 1))):
            world.put(document_id, draw(texts))
    return world


@settings(max_examples=100, deadline=None)
@given(world=worlds(), wanted=st.integers(1, 40))
def test_leftovers_change_nothing(world: World, wanted: int) -> None:
    """With any sets lying around that are not committed, both lists begin as the naive reader's do, rank by rank."""
    retrieval = retrieve(a_query(QUERY, candidates=wanted), world.parts)
    enough = retrieval.depth >= world.count(world.index) or retrieval.depth < 4 * -(-3 * wanted // 2)
    for bm25, rank in ((True, lambda c: c.bm25_rank), (False, lambda c: c.knn_rank)):
        expected, found = naive(world, bm25=bm25), ranked(retrieval, rank)
        assert found == expected[: len(found)]
        if enough:
            assert len(found) >= min(wanted, len(expected))
    assert retrieval.stale_dropped == 0


DOCUMENTS = [f"document-{number}" for number in range(6)]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), changing=st.integers(1, 4))
def test_a_document_is_seen_old_and_whole_or_new_and_whole(data: st.DataObject, changing: int) -> None:
    """Documents are replaced between any two steps of the reading: no mixture is seen, and no silent gap."""
    world = World()
    for document_id in DOCUMENTS:
        world.commit(document_id, world.put(document_id, data.draw(texts)))
    running: dict[str, Iterator[None]] = {}

    def something_happens() -> None:
        for document_id in DOCUMENTS[:changing]:
            for _ in range(data.draw(st.integers(0, 4))):
                if document_id not in running:
                    running[document_id] = world.update(document_id, data.draw(texts))
                if next(running[document_id], running) is running:
                    del running[document_id]

    world.before_search = world.documents.before_get = something_happens
    retrieval = retrieve(a_query(QUERY), world.parts)

    seen: dict[str, set[str]] = {}
    for candidate in retrieval.candidates:
        seen.setdefault(candidate.chunk.document_id, set()).add(candidate.chunk.write_set)
    for document_id, sets in seen.items():
        assert len(sets) == 1
        assert sets <= world.history[document_id]
    missing = set(DOCUMENTS) - seen.keys()
    assert missing <= set(DOCUMENTS[:changing])
    assert not missing or retrieval.stale_dropped > 0


def test_a_quiet_index_is_read_in_one_search() -> None:
    """Nothing stale: one search at one and a half times the candidates."""
    world = World()
    world.commit("a", world.put("a", ["red fox", "lazy dog"]))
    retrieval = retrieve(a_query(QUERY, candidates=5), world.parts)
    assert (retrieval.rounds, retrieval.depth, len(retrieval.candidates)) == (1, 8, 2)
    assert set(retrieval.milliseconds) == {"embed", "search", "verify"}


def test_a_document_that_keeps_changing_is_counted() -> None:
    """One that is replaced before every search is given up after three, and said to be."""
    world = World()
    world.commit("steady", world.put("steady", ["red dog"]))
    world.commit("restless", world.put("restless", ["red fox jumps"]))

    def replaced_behind_the_search() -> None:
        for _ in world.update("restless", [f"red fox {len(world.requests)}"]):
            pass

    world.documents.before_get = replaced_behind_the_search
    retrieval = retrieve(a_query(QUERY), world.parts)
    assert {candidate.chunk.document_id for candidate in retrieval.candidates} == {"steady"}
    assert retrieval.stale_dropped > 0
    assert retrieval.rounds == 4


def test_a_list_full_of_leftovers_is_read_deeper() -> None:
    """Where the top of a list is stale, the depth doubles until enough is left, twice at the most."""
    world = World()
    for number in range(12):
        world.put(f"gone-{number}", ["red fox jumps"])
    for number in range(3):
        world.commit(f"there-{number}", world.put(f"there-{number}", ["red dog"]))
    retrieval = retrieve(a_query(QUERY, candidates=3), world.parts)
    assert [request.depth for request in world.requests] == [5, 10, 20]
    assert len(retrieval.candidates) == 3
    for number in range(12, 30):
        world.put(f"gone-{number}", ["red fox jumps"])
    assert retrieve(a_query(QUERY, candidates=3), world.parts).depth == 20


@pytest.mark.parametrize(("weights", "asked"), [((0.0, 1.0), (False, True)), ((1.0, 0.0), (True, False))])
def test_a_list_without_weight_is_not_searched(weights: tuple[float, float], asked: tuple[bool, bool]) -> None:
    """A weight of 0 saves the search."""
    world = World()
    world.commit("a", world.put("a", ["red fox"]))
    retrieve(a_query(QUERY, bm25_weight=weights[0], knn_weight=weights[1]), world.parts)
    assert [(request.bm25, request.knn) for request in world.requests] == [asked]


def test_filters_reach_every_search() -> None:
    """Both the first search and the one for committed sets keep to the filters."""
    world = World()
    world.collections.register_fields(DEFAULT_COLLECTION, {"lang": "en"})
    world.commit("english", world.put("english", ["red fox"], lang="en"))
    world.commit("german", world.put("german", ["red fox"], lang="de"))
    for _ in range(3):
        world.put("english", ["red fox jumps"], lang="en")
    only = (TermFilter(field="lang", values=["en"]),)
    retrieval = retrieve(a_query(QUERY, filters=only, candidates=1), world.parts)
    assert {candidate.chunk.document_id for candidate in retrieval.candidates} == {"english"}
    assert len(world.requests) > 1
    assert all(request.filters == only for request in world.requests)


FIELDS = {"lang": "en", "year": 2020, "public": True}


@pytest.mark.parametrize(
    ("one", "expected", "words"),
    [
        (TermFilter(field="langauge", values=["en"]), UnknownFilterField, "lang, public, year"),
        (ExistsFilter(field="owner", exists=False), UnknownFilterField, "lang, public, year"),
        (TermFilter(field="year", values=["2020"]), FilterTypeMismatch, "numbers"),
        (TermFilter(field="lang", values=["en", 1.0]), FilterTypeMismatch, "text"),
        (TermFilter(field="public", values=["true"]), FilterTypeMismatch, "true or false"),
        (TermFilter(field="year", values=[True]), FilterTypeMismatch, "numbers"),
        (RangeFilter(field="year", gte="2020"), FilterTypeMismatch, "numbers"),
        (RangeFilter(field="lang", gte=3.0), FilterTypeMismatch, "text"),
        (RangeFilter(field="public", gte=0.0), FilterTypeMismatch, "term filter"),
    ],
)
def test_a_filter_that_cannot_match_is_refused(one: Filter, expected: type[Exception], words: str) -> None:
    """An unknown field lists the known ones; a value of the wrong type names the right one. Nothing is searched."""
    world = World()
    world.collections.register_fields(DEFAULT_COLLECTION, FIELDS)
    with pytest.raises(expected) as caught:
        retrieve(a_query(filters=[one]), world.parts)
    assert words in f"{caught.value} {getattr(caught.value, 'hint', '')}"
    assert world.requests == []


def test_an_unknown_collection_is_refused() -> None:
    """A query to a collection that does not exist is not an empty answer."""
    with pytest.raises(UnknownCollection):
        retrieve(a_query().model_copy(update={"collection": "nowhere"}), World().parts)


def test_the_guard_stands_before_every_round_trip() -> None:
    """A deadline that comes between search and verification ends the reading there."""
    world = World()
    world.commit("a", world.put("a", ["red fox"]))
    passed = []

    def until_the_second() -> None:
        passed.append(True)
        if len(passed) > 2:
            raise DeadlineExceeded("late")

    with pytest.raises(DeadlineExceeded):
        retrieve(a_query(QUERY), world.parts, guard=until_the_second)
    assert len(world.requests) == 1


def test_a_failing_store_fails_the_query() -> None:
    """Half an answer is no answer: an unavailable store is never an empty list."""
    world = World()
    world.commit("a", world.put("a", ["red fox"]))

    def failing() -> None:
        raise StoreUnavailable("no shards")

    world.before_search = failing
    with pytest.raises(StoreUnavailable):
        retrieve(a_query(QUERY), world.parts)
