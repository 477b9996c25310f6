"""Two things that the simulation found: a commit of two operations on one document, and a record that comes late."""

from collections.abc import Sequence
from threading import Barrier, Thread

from second_opinion.pipeline.ingest import GroupCommitter, Indexing, Policy, Stores, Sweeper
from second_opinion.pipeline.ports import Guard, Seen, Swap, Vectors, no_guard
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.schemas.document import AcceptOutcome
from second_opinion.testing.chunking import ParagraphChunker
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.documents import MemoryDocuments
from second_opinion.testing.ingest import IngestRig, memory_stores
from second_opinion.testing.models import WordEmbedder

POLICY = Policy(commit_documents=2, commit_seconds=30.0)


class MeetingEmbedder(WordEmbedder):
    """An embedder in which two threads wait for each other."""

    def __init__(self) -> None:
        super().__init__()
        self.meeting = Barrier(2, timeout=30.0)

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Embed when the other is here as well."""
        self.meeting.wait()
        return super().embed_passages(texts, guard=guard)


def _stores(clock: ManualClock | None = None) -> Stores:
    spec = WordEmbedder().spec
    fingerprint = IndexFingerprint(
        embedding_model=spec.model, embedding_revision=spec.revision, dims=spec.dims, chunker=ParagraphChunker.name
    )
    return memory_stores(fingerprint, clock=clock)


def test_two_operations_on_a_document_in_one_commit_stay_apart() -> None:
    """Two threads bring an old and a new version of a document to the same commit: the new one's chunks are seen."""
    stores, embedder = _stores(), MeetingEmbedder()
    committer = GroupCommitter(stores, POLICY)
    indexing = Indexing(stores, POLICY, ParagraphChunker(), embedder, committer)
    rig = IngestRig.on(stores, ParagraphChunker(), embedder, POLICY)
    rig.put("d1", "The old text.", source_version=1)
    (old,) = rig.queue.batches.popleft()
    first = Thread(target=indexing.index, args=([old],))
    first.start()
    while embedder.meeting.n_waiting == 0:
        pass
    rig.put("d1", "The new text.\n\nIt has two paragraphs.", source_version=2)
    (new,) = rig.queue.batches.popleft()
    second = Thread(target=indexing.index, args=([new],))
    second.start()
    first.join()
    second.join()
    record = stores.documents.get([new.key])[new.key].record
    ((index, committed),) = record.committed.items()
    found = stores.chunks.write_sets(index, before=1e12, limit=10)
    assert [one.write_set for one in found] == [committed.write_set]
    assert committed.write_set.startswith(new.target)
    assert committed.chunks == 2


class SlowDocuments(MemoryDocuments):
    """Records whose first writing takes longer than the sweeper is patient, and the sweeper comes in between."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds
        self.sweeper: Sweeper | None = None

    def swap(self, swaps: Sequence[Swap]) -> list[Seen | None]:
        """Apply each swap, the first ones late."""
        sweeper, self.sweeper = self.sweeper, None
        if sweeper is not None:
            self.clock.advance(self.seconds)
            sweeper.sweep()
        return super().swap(swaps)


def test_what_was_sent_is_there_although_its_record_came_late() -> None:
    """A caller's process stands still between the content and the record until the sweeper has removed the content."""
    clock = ManualClock()
    rig = IngestRig.on(_stores(clock), ParagraphChunker(), WordEmbedder())
    documents = SlowDocuments(clock, rig.policy.grace_seconds + 1.0)
    slow = rig.with_stores(documents=documents)
    documents.sweeper = slow.sweeper
    assert slow.put("d1", "Take one tablet.").outcome is AcceptOutcome.ACCEPTED
    (ref,) = slow.queue.batches[0]
    assert slow.stores.contents.get([ref])[ref].text == "Take one tablet."
    slow.drain()
    assert slow.status("d1").state == "indexed"
