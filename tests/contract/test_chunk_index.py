"""What every chunk index does: the double and Elasticsearch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from second_opinion.pipeline.adapters.elasticsearch import (
    Connection,
    ElasticsearchChunks,
    ElasticsearchCollections,
    IndexNames,
)
from second_opinion.pipeline.ports import ChunkIndex, ListedHit, SearchRequest
from second_opinion.schemas.chunk import ChunkHit, IndexedChunk, chunk_id
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.schemas.document import Metadata
from second_opinion.schemas.query import ExistsFilter, Filter, RangeFilter, TermFilter
from second_opinion.testing.chunks import MemoryChunks

NOW = 1_700_000_000.0
FINGERPRINT = IndexFingerprint(embedding_model="axes", embedding_revision="1", dims=4, chunker="by hand")
METADATA: Metadata = {"year": 2_020.0, "lang": "en", "draft": False, "tags": ["a", "b"]}


@dataclass
class Kept:
    """An index with the metadata fields of `METADATA`."""

    chunks: ChunkIndex
    index: str

    def write(self, *chunks: IndexedChunk) -> None:
        """Write chunks and make them visible."""
        assert self.chunks.write(self.index, chunks) == [None] * len(chunks)
        self.chunks.refresh(self.index)

    def search(self, text: str = "dose", **told: object) -> tuple[list[str], list[str]]:
        """Return the chunk ids of both lists."""
        request = {"vector": axis(0), "filters": (), "depth": 10, **told}
        hits = self.chunks.search(SearchRequest(index=self.index, text=text, **request))  # type: ignore[arg-type]
        return ids(hits.bm25), ids(hits.knn)


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def kept(request: pytest.FixtureRequest) -> Kept:
    """An index of either kind."""
    if request.param == "double":
        return Kept(MemoryChunks(), "memory-chunks-default-000001")
    connection: Connection = request.getfixturevalue("elasticsearch")
    names: IndexNames = request.getfixturevalue("names")
    collections = ElasticsearchCollections(connection, names, FINGERPRINT)
    record = collections.ensure("default")
    collections.register_fields("default", METADATA)
    return Kept(ElasticsearchChunks(connection), record.index)


def axis(number: int, lean: float = 0.0) -> np.ndarray:
    """Return a unit vector along one axis, leaning a little towards the last one."""
    vector = np.zeros(4, np.float32)
    vector[number], vector[3] = 1.0, lean
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


def a_chunk(
    document: str = "d1",
    ordinal: int = 0,
    *,
    text: str = "The dose for a child.",
    write_set: str = "g1.1",
    vector: np.ndarray | None = None,
    **told: object,
) -> IndexedChunk:
    """Return a chunk ready to be written."""
    whole = {
        "chunk_id": chunk_id(document, write_set, ordinal),
        "key": document,
        "write_set": write_set,
        "index": "",
        "collection": "default",
        "document_id": document,
        "title": "Leaflet",
        "headings": ("Use",),
        "text": text,
        "start": 0,
        "end": len(text),
        "ordinal": ordinal,
        "count": 1,
        "vector": tuple(map(float, axis(0) if vector is None else vector)),
        "written_at": NOW,
    }
    return IndexedChunk.model_validate({**whole, **told})


def ids(hits: Sequence[ListedHit]) -> list[str]:
    """Return the chunk ids of a list, which has to be ranked from 1."""
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    return [hit.chunk.chunk_id for hit in hits]


def test_a_chunk_comes_back_as_it_was_written(kept: Kept) -> None:
    """A hit carries all that was written, except the vector and the time."""
    text = "Dose: 5 mg/kg › 👶 \x00 مرحبا"
    chunk = a_chunk(text=text, metadata=METADATA, uri="file:///a b", truncated=True, start=7, end=99, count=4)
    kept.write(chunk)
    stored = chunk.model_dump(exclude={"vector", "embedding_key", "written_at"})
    expected = ChunkHit.model_validate({**stored, "index": kept.index})
    found = kept.chunks.get(kept.index, [chunk.chunk_id, "missing"])
    assert {name: hit.model_copy(update={"index": kept.index}) for name, hit in found.items()} == {
        chunk.chunk_id: expected
    }


def test_a_vector_is_found_again_by_its_key(kept: Kept) -> None:
    """To the last bit and once for each key, however many chunks have it; what was written without a key never is."""
    vector = np.round(axis(1, lean=1 / 3).astype(np.float64), 7)
    same = [a_chunk("d1", number, vector=vector, embedding_key="a") for number in range(5)]
    kept.write(*same, a_chunk("d2", vector=axis(2), embedding_key="b"), a_chunk("d3", vector=axis(0)))
    found = kept.chunks.embeddings(kept.index, ["a", "b", "c"])
    assert set(found) == {"a", "b"}
    assert np.array_equal(found["a"], vector.astype(np.float32))
    assert np.array_equal(found["b"], axis(2))
    assert kept.chunks.embeddings(kept.index, []) == {}


def test_chunks_are_searched_only_after_a_refresh(kept: Kept) -> None:
    """What was written but not refreshed is in neither list; after the refresh it is in both."""
    kept.write(a_chunk("d0"))
    kept.chunks.write(kept.index, [a_chunk("d1")])
    before = kept.search()
    kept.chunks.refresh(kept.index)
    bm25, knn = kept.search()
    assert before == (["d0@g1.1@0"], ["d0@g1.1@0"])
    assert sorted(bm25) == sorted(knn) == ["d0@g1.1@0", "d1@g1.1@0"]


def test_each_list_has_its_own_order(kept: Kept) -> None:
    """BM25 goes by words and kNN by vectors, each best first with its own score."""
    kept.write(
        a_chunk("words", text="dose of ibuprofen for children", vector=axis(1)),
        a_chunk("vector", text="something about a dose", vector=axis(0)),
        a_chunk("neither", text="bicycle chain", vector=axis(2)),
    )
    request = SearchRequest(
        index=kept.index, text="dose ibuprofen children", vector=axis(0, lean=0.1), filters=(), depth=2
    )
    hits = kept.chunks.search(request)
    assert ids(hits.bm25) == ["words@g1.1@0", "vector@g1.1@0"]
    assert ids(hits.knn)[0] == "vector@g1.1@0"
    assert hits.bm25[0].es_score > hits.bm25[1].es_score
    assert hits.knn[0].es_score > hits.knn[1].es_score


def test_title_and_headings_are_searched(kept: Kept) -> None:
    """A chunk is found by the words of its title and of its headings, not only of its text."""
    kept.write(a_chunk("d1", title="Paracetamol", headings=("Storage",), text="Keep it dry."))
    assert kept.search("paracetamol", knn=False) == (["d1@g1.1@0"], [])
    assert kept.search("storage", knn=False) == (["d1@g1.1@0"], [])
    assert kept.search("bicycle", knn=False) == ([], [])


def test_a_list_that_ends_early_is_not_full(kept: Kept) -> None:
    """A list is full when as many came as were asked for, so that there may be more behind."""
    kept.write(a_chunk("d1"), a_chunk("d2"), a_chunk("d3", text="bicycle"))
    request = SearchRequest(index=kept.index, text="dose", vector=axis(0), filters=(), depth=3)
    hits = kept.chunks.search(request)
    assert (hits.bm25_full, hits.knn_full) == (False, True)


def test_a_list_can_be_left_out(kept: Kept) -> None:
    """A list of weight 0 is not searched for."""
    kept.write(a_chunk("d1"))
    assert kept.search(bm25=False) == ([], ["d1@g1.1@0"])
    assert kept.search(knn=False) == (["d1@g1.1@0"], [])
    assert kept.search(bm25=False, knn=False) == ([], [])


@pytest.mark.parametrize(
    ("clause", "kept_documents"),
    [
        (TermFilter(field="lang", values=["en", "fr"]), ["en", "fr"]),
        (TermFilter(field="year", values=[2_020]), ["en"]),
        (TermFilter(field="draft", values=[True]), ["de"]),
        (TermFilter(field="tags", values=["b"]), ["en"]),
        (RangeFilter(field="year", gte=2_020), ["de", "en"]),
        (RangeFilter(field="year", gt=2_020, lt=2_022), ["de"]),
        (RangeFilter(field="lang", gte="en"), ["en", "fr"]),
        (ExistsFilter(field="tags"), ["en"]),
        (ExistsFilter(field="tags", exists=False), ["de", "fr"]),
    ],
)
def test_filters_hold_for_both_lists(kept: Kept, clause: Filter, kept_documents: list[str]) -> None:
    """Term, range and exists filters by type keep the same documents in both lists."""
    kept.write(
        a_chunk("en", metadata=METADATA),
        a_chunk("de", metadata={"year": 2_021, "lang": "de", "draft": True, "tags": []}),
        a_chunk("fr", metadata={"year": 2_019, "lang": "fr", "draft": False}),
    )
    for listed in kept.search(filters=(clause,)):
        assert sorted(one.partition("@")[0] for one in listed) == kept_documents


def test_all_filters_have_to_hold(kept: Kept) -> None:
    """Two filters keep what passes both."""
    kept.write(a_chunk("en", metadata=METADATA), a_chunk("fr", metadata={"year": 2_020, "lang": "fr"}))
    filters = (TermFilter(field="year", values=[2_020]), TermFilter(field="lang", values=["fr"]))
    assert kept.search(filters=filters) == (["fr@g1.1@0"], ["fr@g1.1@0"])


def test_a_search_can_be_bound_to_write_sets(kept: Kept) -> None:
    """With write sets given, other sets of the same document are left out."""
    kept.write(a_chunk("d1", write_set="g1.1"), a_chunk("d1", write_set="g2.1"), a_chunk("d1", write_set="g2.2"))
    expected = ["d1@g1.1@0", "d1@g2.2@0"]
    assert [sorted(listed) for listed in kept.search(write_sets=("g1.1", "g2.2"))] == [expected, expected]


def test_removal_is_by_id_and_forgiving(kept: Kept) -> None:
    """Chunks are removed by their ids; ids that are not there are no error; the count tells."""
    kept.write(*(a_chunk("d1", ordinal) for ordinal in range(3)))
    kept.chunks.delete(kept.index, ["d1@g1.1@0", "d1@g1.1@2", "d1@g1.1@7"])
    kept.chunks.refresh(kept.index)
    assert kept.chunks.count(kept.index) == 1
    assert kept.search() == (["d1@g1.1@1"], ["d1@g1.1@1"])


def test_writing_twice_keeps_one(kept: Kept) -> None:
    """The same chunk id written again replaces the chunk: a repeated slice makes no duplicates."""
    kept.write(a_chunk("d1", text="one dose"))
    kept.write(a_chunk("d1", text="two doses"))
    assert kept.chunks.count(kept.index) == 1
    assert kept.chunks.get(kept.index, ["d1@g1.1@0"])["d1@g1.1@0"].text == "two doses"


def test_write_sets_are_paged_through(kept: Kept) -> None:
    """Sets written before a moment are listed once, in pages, with the size they were to have."""
    kept.write(
        *(a_chunk("d1", ordinal, count=5) for ordinal in (0, 3)),
        a_chunk("d1", write_set="g2.1"),
        a_chunk("d2"),
        a_chunk("d3", written_at=NOW + 100),
    )
    first = kept.chunks.write_sets(kept.index, before=NOW + 1, limit=2)
    after = f"{first[-1].key}@{first[-1].write_set}"
    second = kept.chunks.write_sets(kept.index, before=NOW + 1, limit=2, after=after)
    found = [(one.key, one.write_set, one.chunks) for one in (*first, *second)]
    assert found == [("d1", "g1.1", 5), ("d1", "g2.1", 1), ("d2", "g1.1", 1)]


def test_the_size_of_sets_is_what_is_visible_of_them(kept: Kept) -> None:
    """A set that lacks chunks is told by those it has; one without any is left out; nothing else is counted."""
    kept.write(*(a_chunk("d1", ordinal, count=5) for ordinal in (0, 3)), a_chunk("d2", write_set="g2.1"))
    assert kept.chunks.set_sizes(kept.index, ["g1.1", "g9.9"]) == {"g1.1": 2}
    kept.chunks.delete(kept.index, ["d1@g1.1@3"])
    kept.chunks.refresh(kept.index)
    assert kept.chunks.set_sizes(kept.index, ["g2.1", "g1.1"]) == {"g1.1": 1, "g2.1": 1}
    assert kept.chunks.set_sizes(kept.index, []) == {}
