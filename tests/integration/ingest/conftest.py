"""Ingest on both kinds of stores: in memory, and on a real Elasticsearch."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from second_opinion.pipeline.adapters.elasticsearch import (
    Connection,
    ElasticsearchChunks,
    ElasticsearchCollections,
    ElasticsearchContents,
    ElasticsearchDocuments,
    IndexNames,
)
from second_opinion.pipeline.chunking import SectionChunker, open_chunker
from second_opinion.pipeline.ingest import Policy, Stores
from second_opinion.pipeline.ports import CollectionStore
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.collections import MemoryCollections, Shelf
from second_opinion.testing.ingest import IngestRig, memory_stores
from second_opinion.testing.models import WordEmbedder


class CountingEmbedder(WordEmbedder):
    """An embedder that tells how many passages it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.passages: list[str] = []

    def embed_passages(self, texts, *, guard=lambda: None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Embed, and remember what."""
        self.passages += texts
        return super().embed_passages(texts, guard=guard)


@dataclass(frozen=True)
class Bench:
    """One ingest worker with its clock and its embedder.

    Attributes:
        settle: Makes listings current.
        collections_of: The same collections, as a process of another fingerprint sees them.
    """

    rig: IngestRig
    clock: ManualClock
    embedder: CountingEmbedder
    settle: Callable[[], object]
    collections_of: Callable[[IndexFingerprint], CollectionStore]

    def reconcile(self) -> int:
        """Reconcile on current listings; return how many documents were enqueued."""
        self.settle()
        done = self.rig.reconciler.reconcile()
        return done.lost + done.waiting

    def recover(self) -> None:
        """Let time pass, reconcile and work off the queue, as often as attempts allow."""
        for _ in range(self.rig.policy.max_attempts + 1):
            self.clock.advance(self.rig.policy.patience_seconds)
            self.reconcile()
            self.rig.drain()

    def sweep(self) -> None:
        """Let the grace time pass and sweep."""
        self.clock.advance(self.rig.policy.grace_seconds + 1)
        self.settle()
        self.rig.sweeper.sweep()
        self.settle()


@pytest.fixture(scope="session")
def chunker() -> SectionChunker:
    """The real chunker, with chunks so short that a few sentences make several."""
    return open_chunker(max_tokens=40)


@pytest.fixture(scope="session")
def long_chunker() -> SectionChunker:
    """The real chunker as it is unless somebody sets it otherwise."""
    return open_chunker()


@pytest.fixture
def memory_bench(chunker: SectionChunker) -> Bench:
    """Ingest in memory."""
    clock, embedder, shelf = ManualClock(), CountingEmbedder(), Shelf()
    fingerprint = _fingerprint(chunker, embedder)
    stores = replace(memory_stores(fingerprint, clock=clock), collections=MemoryCollections(fingerprint, shelf))
    rig = IngestRig.on(stores, chunker, embedder, Policy())
    return Bench(rig, clock, embedder, lambda: None, lambda other: MemoryCollections(other, shelf))


@pytest.fixture
def real_bench(chunker: SectionChunker, elasticsearch: Connection, names: IndexNames) -> Bench:
    """Ingest on Elasticsearch."""
    clock, embedder = ManualClock(), CountingEmbedder()
    fingerprint = _fingerprint(chunker, embedder)

    def settle() -> None:
        for index in (names.documents, names.contents):
            elasticsearch.writes.indices.refresh(index=index, ignore_unavailable=True)

    def collections_of(other: IndexFingerprint) -> CollectionStore:
        return ElasticsearchCollections(elasticsearch, names, other)

    stores: Stores = replace(
        memory_stores(fingerprint, clock=clock),
        documents=ElasticsearchDocuments(elasticsearch, names),
        contents=ElasticsearchContents(elasticsearch, names),
        chunks=ElasticsearchChunks(elasticsearch),
        collections=collections_of(fingerprint),
    )
    return Bench(IngestRig.on(stores, chunker, embedder, Policy()), clock, embedder, settle, collections_of)


@pytest.fixture(params=["memory", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Ingest of either kind."""
    found: Bench = request.getfixturevalue("memory_bench" if request.param == "memory" else "real_bench")
    return found


def _fingerprint(chunker: SectionChunker, embedder: WordEmbedder) -> IndexFingerprint:
    return IndexFingerprint(
        embedding_model=embedder.spec.model,
        embedding_revision=embedder.spec.revision,
        dims=embedder.spec.dims,
        chunker=chunker.name,
    )
