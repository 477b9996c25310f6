"""A collection moves to another index, step by step, on stores in memory."""

from dataclasses import dataclass
from typing import Any

import pytest

from second_opinion.pipeline.ingest import Maker, Policy, Stores
from second_opinion.pipeline.ports import Guard, Swap, no_guard
from second_opinion.schemas.chunk import Chunk
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint
from second_opinion.schemas.document import DocumentRecord, DocumentState, document_key
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    OpinionError,
    ReindexRefused,
    StoreUnavailable,
    UnknownCollection,
    WorkerStopping,
)
from second_opinion.testing.chunking import ParagraphChunker
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.collections import MemoryCollections, Shelf
from second_opinion.testing.ingest import Failing, IngestRig, memory_stores
from second_opinion.testing.models import WordEmbedder

OLD, NEW = "memory-chunks-default-000001", "memory-chunks-default-000002"
TEXT = "The harbour opens at six.\n\nThe mole is closed in winter."
POLICY = Policy(message_documents=4)


class WholeChunker(ParagraphChunker):
    """Makes the whole text one chunk; chokes on one word."""

    name = "whole/1"

    def chunk(self, text: str, *, media_type: str, title: str, guard: Guard = no_guard) -> list[Chunk]:  # noqa: ARG002
        """Return the text."""
        if "poison" in text:
            raise ValueError("cannot read this")
        return [Chunk(ordinal=0, text=text, start=0, end=len(text))]


def fingerprint(chunker: type[ParagraphChunker]) -> IndexFingerprint:
    """Return what an index is made with, with this chunker."""
    spec = WordEmbedder().spec
    return IndexFingerprint(
        embedding_model=spec.model, embedding_revision=spec.revision, dims=spec.dims, chunker=chunker.name
    )


@dataclass
class Move:
    """The worker of a time before the settings were changed, and one of after."""

    before: IngestRig
    after: IngestRig
    clock: ManualClock

    @property
    def collection(self) -> Any:
        """The collection's record."""
        return self.after.stores.collections.get(DEFAULT_COLLECTION)

    def record(self, document_id: str) -> DocumentRecord:
        """Return a document's record."""
        key = document_key(DEFAULT_COLLECTION, document_id)
        return self.after.stores.documents.get([key])[key].record

    def advance(self) -> None:
        """Let maintenance look, and the index workers do what it sent."""
        self.clock.advance(61.0)
        self.after.reindexer.advance()
        self.after.remake()

    def texts(self, document_id: str) -> list[str]:
        """Return the chunks that readers see."""
        return [chunk.text for chunk in self.after.seen_by_readers(document_id)]


@pytest.fixture
def move() -> Move:
    """Three documents in an index of paragraphs, and settings that say otherwise now."""
    clock, shelf = ManualClock(), Shelf()
    stores = memory_stores(fingerprint(ParagraphChunker), clock=clock)
    old = MemoryCollections(fingerprint(ParagraphChunker), shelf)
    new = MemoryCollections(fingerprint(WholeChunker), shelf, former=[fingerprint(ParagraphChunker)])
    embedder = WordEmbedder()
    formers = {fingerprint(ParagraphChunker): Maker(ParagraphChunker(), embedder)}
    before = IngestRig.on(_with(stores, old), ParagraphChunker(), embedder, POLICY)
    after = IngestRig.on(_with(stores, new), WholeChunker(), embedder, POLICY, formers)
    before.stores.collections.ensure(DEFAULT_COLLECTION)
    for number in range(3):
        before.put(f"d{number}", TEXT, metadata={"shelf": number})
    before.drain()
    return Move(before, after, clock)


def _with(stores: Stores, collections: MemoryCollections) -> Stores:
    return Stores(
        documents=stores.documents,
        contents=stores.contents,
        chunks=stores.chunks,
        collections=collections,
        queue=stores.queue,
        clock=stores.clock,
        ids=stores.ids,
    )


def test_readers_see_every_document_anew_once_all_are_there(move: Move) -> None:
    """Both versions stand beside each other; readers change from the one to the other at one moment."""
    status = move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    assert (status.phase, status.documents, status.done, status.target) == ("filling", 3, 0, NEW)
    assert move.collection.writing == (OLD, NEW)
    move.advance()
    assert move.texts("d1") == TEXT.split("\n\n")
    assert move.after.reindexer.status(DEFAULT_COLLECTION).phase == "filled"
    move.advance()
    assert move.texts("d1") == [TEXT]
    assert move.after.reindexer.status(DEFAULT_COLLECTION).phase == "switched"
    assert sorted(move.record("d1").committed) == [OLD, NEW]
    assert move.record("d1").state is DocumentState.INDEXED


def test_what_comes_meanwhile_is_in_both(move: Move) -> None:
    """New documents, new versions and deletions, before and after the switch; then a step back loses none of it."""
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    move.after.put("d0", "A new version.\n\nOf two paragraphs.")
    move.after.put("late", TEXT)
    move.after.delete("d2")
    move.after.drain()
    move.advance()
    move.advance()
    assert move.collection.index == NEW
    move.after.put("later", TEXT)
    move.after.drain()
    assert move.texts("d0") == ["A new version.\n\nOf two paragraphs."]
    assert (move.texts("late"), move.texts("later"), move.texts("d2")) == ([TEXT], [TEXT], [])
    move.after.reindexer.act(DEFAULT_COLLECTION, "rollback")
    assert move.collection.index == OLD
    assert move.texts("d0") == ["A new version.", "Of two paragraphs."]
    assert (move.texts("late"), move.texts("later"), move.texts("d2")) == (TEXT.split("\n\n"), TEXT.split("\n\n"), [])
    move.advance()
    assert move.collection.index == OLD, "after a step back nobody switches but the operator"
    assert move.after.reindexer.act(DEFAULT_COLLECTION, "switch").phase == "switched"


def test_work_that_began_before_is_waited_for(move: Move) -> None:
    """A worker that looked at the collection before may commit to the source alone, while it holds a lease."""
    move.before.put("slow", TEXT)
    (ref,) = move.before.queue.batches.popleft()
    crashed = move.before.with_stores(
        chunks=Failing(move.before.stores.chunks, "write", StoreUnavailable("no answer"), at=1)
    )
    held = crashed.indexing._leases.take([ref], extraction=False)
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    for _ in range(3):
        move.advance()
    assert move.collection.index == OLD
    assert move.after.reindexer.status(DEFAULT_COLLECTION).phase == "filling"
    with pytest.raises(ReindexRefused, match="may not be over"):
        move.after.reindexer.act(DEFAULT_COLLECTION, "switch")
    assert held[0].record.lease_owner in move.collection.reindex.holdouts.values()
    move.after.reconciler.reconcile()
    move.after.drain()
    for _ in range(3):
        move.advance()
    assert move.collection.index == NEW
    assert move.texts("slow") == [TEXT]


def test_a_document_that_cannot_be_made_keeps_readers_where_they_are(move: Move) -> None:
    """It is named with its reason; the operator mends it, or leaves it behind."""
    move.before.put("bad", "It is poison.")
    move.before.drain()
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    for _ in range(5):
        move.advance()
    status = move.after.reindexer.status(DEFAULT_COLLECTION)
    assert (status.phase, status.done, status.failed, list(status.failures)) == ("filled", 3, 1, ["bad"])
    assert "cannot read this" in status.failures["bad"]
    assert move.collection.index == OLD
    assert move.texts("bad") == ["It is poison."]
    with pytest.raises(ReindexRefused, match="1 documents"):
        move.after.reindexer.act(DEFAULT_COLLECTION, "switch")
    assert move.after.reindexer.act(DEFAULT_COLLECTION, "switch", leave_behind=True).phase == "switched"
    assert move.texts("bad") == []
    assert move.after.reindexer.act(DEFAULT_COLLECTION, "rollback").failed == 1
    assert move.after.reindexer.act(DEFAULT_COLLECTION, "begin").failed == 0, "to begin again tries it again"


@pytest.mark.parametrize(
    ("reason", "counted"), [(WorkerStopping("it stops"), []), (DeadlineExceeded("no time left"), [1])]
)
def test_what_a_worker_had_no_time_for_counts_as_untried(move: Move, reason: OpinionError, counted: list[int]) -> None:
    """Only what was worked on when the time was over may have been the cause; all is made, often as workers stop."""
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    move.clock.advance(61.0)
    move.after.reindexer.advance()
    (message,) = move.after.queue.remakes
    move.after.queue.remakes.clear()

    def guard() -> None:
        if move.after.stores.chunks.write_sets(NEW, before=1e12, limit=1):
            raise reason

    assert move.after.remaking.remake(*message, guard).remade == 1
    left = [move.record(f"d{number}").remake for number in range(3)]
    assert [one.attempts for one in left if one is not None] == counted
    move.advance()
    move.advance()
    assert (move.collection.index, move.texts("d1"), move.texts("d2")) == (NEW, [TEXT], [TEXT])


def test_a_newer_version_that_is_committed_meanwhile_is_not_undone(move: Move) -> None:
    """The set of the old version is removed, and readers of both indices see the new one."""
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    move.clock.advance(61.0)
    move.after.reindexer.advance()
    (message,) = move.after.queue.remakes
    remaking = move.after.with_stores().remaking

    class Overtaking(WordEmbedder):
        def embed_passages(self, texts: Any, *, guard: Guard = no_guard) -> Any:
            if not move.after.stores.documents.get([message[2][0]])[message[2][0]].record.committed.get(NEW):
                move.after.put("d0", "Newer.")
                move.after.drain()
            return super().embed_passages(texts, guard=guard)

    maker = Maker(WholeChunker(), Overtaking())
    remaking._makers._known = {fingerprint(WholeChunker): maker, fingerprint(ParagraphChunker): maker}
    move.after.queue.remakes.clear()
    report = remaking.remake(*message)
    assert (report.remade, report.overtaken, report.failed) == (2, 1, 0)
    move.advance()
    assert move.texts("d0") == ["Newer."]
    in_new = [f"{one.key}@{one.committed[NEW].write_set}" for one in map(move.record, ("d0", "d1", "d2"))]
    assert sorted(move.after.stored_sets()) == sorted(in_new)


def test_an_update_that_failed_does_not_hide_the_version_before(move: Move) -> None:
    """Readers saw the version before the failed one; they see it in the new index, too."""
    move.before.put("d1", "A version that is never indexed.")
    documents = move.before.stores.documents
    seen = documents.get([move.record("d1").key])[move.record("d1").key]
    documents.swap([Swap(seen.record.model_copy(update={"state": DocumentState.FAILED}), seen)])
    move.before.drain()
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    move.advance()
    move.advance()
    assert move.collection.index == NEW
    assert move.texts("d1") == [TEXT]
    assert move.record("d1").state is DocumentState.FAILED


def test_a_finished_reindex_leaves_one_index_and_the_sweeper_removes_the_other(move: Move) -> None:
    """The former index stays for the grace time: work that began before may still write to it."""
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    with pytest.raises(ReindexRefused, match="not on the new index yet"):
        move.after.reindexer.act(DEFAULT_COLLECTION, "finish")
    move.advance()
    move.advance()
    assert move.after.reindexer.act(DEFAULT_COLLECTION, "finish").phase == "none"
    assert (move.collection.writing, list(move.collection.retired)) == ((NEW,), [OLD])
    move.after.sweeper.sweep()
    assert list(move.collection.retired) == [OLD]
    move.clock.advance(POLICY.grace_seconds + 61.0)
    move.after.sweeper.sweep()
    assert not move.collection.retired
    move.after.put("d0", "Again.")
    move.after.drain()
    assert move.texts("d0") == ["Again."]
    assert list(move.record("d0").committed) == [NEW]
    assert move.after.put("d1", TEXT, metadata={"shelf": 1}).outcome == "unchanged"


def test_one_that_is_given_up_leaves_everything_as_it_was(move: Move) -> None:
    """Its index goes the way of all that are not used, and its number is not given again."""
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin", hold=True)
    for _ in range(3):
        move.advance()
    assert move.collection.index == OLD, "it was to wait for the operator"
    assert move.after.reindexer.act(DEFAULT_COLLECTION, "abandon").phase == "none"
    assert (move.collection.writing, list(move.collection.retired)) == ((OLD,), [NEW])
    again = move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    assert again.target == "memory-chunks-default-000003"
    move.advance()
    move.advance()
    assert move.texts("d1") == [TEXT]


def test_messages_of_a_reindex_that_is_over_do_nothing(move: Move) -> None:
    """They may come late, as any message."""
    move.after.reindexer.act(DEFAULT_COLLECTION, "begin")
    move.clock.advance(61.0)
    move.after.reindexer.advance()
    assert move.after.queue.remakes
    move.after.reindexer.act(DEFAULT_COLLECTION, "abandon")
    assert {one.remade for one in move.after.remake()} == {0}
    assert list(move.record("d0").committed) == [OLD]


@pytest.mark.parametrize("action", ["switch", "rollback", "finish", "abandon"])
def test_without_a_reindex_there_is_nothing_to_do(move: Move, action: Any) -> None:
    """The error says so."""
    with pytest.raises(ReindexRefused, match="no reindex of collection 'default' goes on"):
        move.after.reindexer.act(DEFAULT_COLLECTION, action)
    with pytest.raises(UnknownCollection):
        move.after.reindexer.act("nothing", "begin")
