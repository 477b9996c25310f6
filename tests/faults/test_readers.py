"""Readers while documents are changed and deleted: each sees the old version whole or the new one whole, at all times.

The long form is `./do bench readers`: 5,000 updates and deletes.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from second_opinion import Client
from second_opinion.pipeline import retrieval
from second_opinion.pipeline.ports import Embedder
from second_opinion.workers.embedders import open_embedder
from tests.conftest import Servers
from tests.faults.own_system import OwnSystem
from tests.faults.readers import CHUNK_TOKENS, Library

pytestmark = pytest.mark.stack

READS = 200
"""Fewer would prove little; on a quiet machine there are thousands."""


@pytest.fixture(scope="module")
def system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Embedder]]:
    """A system that indexes and answers, and the bi-encoder of its searches."""
    folder = tmp_path_factory.mktemp("readers")
    made = OwnSystem(
        folder,
        servers.elasticsearch_url,
        roles=("index", "retrieve", "rerank"),
        told={"chunk_tokens": CHUNK_TOKENS},
        name="readers",
    )
    with made.running() as client:
        yield client, open_embedder(made.settings)


@pytest.fixture
def library(system: tuple[Client, Embedder]) -> Iterator[Callable[..., Library]]:
    """Makes a library, whose documents are removed behind the test."""
    client, embedder = system
    yield lambda **options: Library(client, embedder, **options)
    client.delete_collection("default")


def test_readers_see_old_or_new_and_nothing_else(library: Callable[..., Library]) -> None:
    """200 updates and deletes: no version is mixed, partial, resurrected, older than one seen before, or missing."""
    books = library(documents=24, acts=200, seconds=8.0, seed=1)
    books.run()
    figures = books.figures()
    print(figures)  # noqa: T201 - shown when the test fails
    assert (figures["wrong"], figures["problems"], figures["stale_dropped"]) == ({}, [], 0)
    assert figures["updates_and_deletes"] == 200
    assert set(figures["query_jobs"]) == {"done"}
    assert figures["reads"] > READS
    # Each kind of read, and reads that had to look again because a document changed under them.
    assert {"filtered searches", "open searches", "statuses", "queries"} <= set(figures["reads_by_kind"])


class _NeverDeletes(random.Random):
    def random(self) -> float:
        return 1.0


def _changed_twice(library: Callable[..., Library]) -> Library:
    """Return a library with one document, whose former version is still in the index, seen by nobody."""
    books = library(documents=1, acts=1, seconds=0.0, seed=0)
    for _ in range(2):
        books.change([0], _NeverDeletes())
        books.settle()
        books.read_statuses([0])
    return books


def _changing_under_the_reader(books: Library, patch: pytest.MonkeyPatch) -> None:
    """Let the document change once more between a search and the look at its record."""
    known, changes = retrieval._Reader._committed, iter([lambda: books.change([0], _NeverDeletes())])

    def committed(reader: Any, *arguments: Any) -> Any:
        for change in changes:
            change()
            books.settle()
        return known(reader, *arguments)

    patch.setattr(retrieval._Reader, "_committed", committed)


def test_a_document_that_changes_under_the_reader_is_seen(
    library: Callable[..., Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new version was not there when the reader searched: the reader searches again."""
    books = _changed_twice(library)
    _changing_under_the_reader(books, monkeypatch)
    books.search(0, filtered=True)
    assert books.histories.check().wrong() == {}
    assert (books.rounds, books.stale_dropped) == ({2: 1}, 0)


def test_a_reader_that_does_not_look_again_is_noticed(
    library: Callable[..., Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known bug: what has changed under the reader is left out; a live document is in neither version then."""
    books = _changed_twice(library)
    _changing_under_the_reader(books, monkeypatch)
    monkeypatch.setattr(retrieval, "MAX_RESOLVING_SEARCHES", 0)
    books.search(0, filtered=True)
    assert set(books.histories.check().wrong()) == {"vanished"}
    assert books.stale_dropped > 0


def test_a_reader_that_trusts_every_hit_is_noticed(
    library: Callable[..., Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known bug: hits are taken for what is committed; one result shows two versions then."""
    books = _changed_twice(library)
    monkeypatch.setattr(retrieval._List, "current", lambda one, _committed: list(one.hits.values()))
    books.search(0, filtered=True)
    assert "mixed" in books.histories.check().wrong()
