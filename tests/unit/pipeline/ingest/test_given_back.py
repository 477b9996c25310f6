"""An index worker that is asked to stop, or has no time left: what it has written whole is committed, the rest goes."""

from collections.abc import Sequence

import pytest

from second_opinion.pipeline.ingest import Policy
from second_opinion.pipeline.ports import Guard, Vectors, no_guard
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint
from second_opinion.schemas.document import DocumentRecord, DocumentState, document_key
from second_opinion.schemas.errors import DeadlineExceeded, OpinionError, WorkerStopping
from second_opinion.testing.chunking import ParagraphChunker
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.ingest import IngestRig, memory_stores
from second_opinion.testing.models import WordEmbedder

NAMES = ("first", "second", "third")
PORTION = 3
REASONS = [WorkerStopping("it stops"), DeadlineExceeded("no time left")]


class CountingEmbedder(WordEmbedder):
    """Counts what it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded = 0

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Embed."""
        vectors = super().embed_passages(texts, guard=guard)
        self.embedded += len(texts)
        return vectors


@pytest.fixture
def rig() -> IngestRig:
    """Three documents of two chunks each in one message; embedded three chunks at a time."""
    embedder, clock = CountingEmbedder(), ManualClock()
    fingerprint = IndexFingerprint(
        embedding_model=embedder.spec.model,
        embedding_revision=embedder.spec.revision,
        dims=embedder.spec.dims,
        chunker=ParagraphChunker.name,
    )
    stores = memory_stores(fingerprint, clock=clock)
    made = IngestRig.on(stores, ParagraphChunker(), embedder, Policy(slice_chunks=PORTION))
    made.acceptance.accept([{"id": name, "text": f"The {name} text.\n\nMore of the {name}."} for name in NAMES])
    return made


def stopped_after(rig: IngestRig, chunks: int, reason: OpinionError) -> Guard:
    """Return a guard that ends work once so many chunks are embedded."""

    def guard() -> None:
        assert isinstance(rig.embedder, CountingEmbedder)
        if rig.embedder.embedded >= chunks:
            raise reason

    return guard


def records(rig: IngestRig) -> list[DocumentRecord]:
    keys = [document_key(DEFAULT_COLLECTION, name) for name in NAMES]
    found = rig.stores.documents.get(keys)
    return [found[key].record for key in keys]


@pytest.mark.parametrize("reason", REASONS)
def test_what_is_written_whole_is_committed_and_the_rest_comes_again(rig: IngestRig, reason: OpinionError) -> None:
    """The second is half written and the third not begun: neither is to blame, and nothing of them stays."""
    (message,) = rig.queue.batches
    rig.queue.batches.clear()
    report = rig.indexing.index(message, stopped_after(rig, PORTION, reason))
    assert (report.taken, report.committed, report.released, report.chunks) == (3, 1, 2, 2)
    assert [one.state for one in records(rig)] == [DocumentState.INDEXED, *[DocumentState.RECEIVED] * 2]
    assert [(one.losses, one.failures, one.lease_owner) for one in records(rig)[1:]] == [(0, 0, None)] * 2
    assert {one.error.code for one in records(rig)[1:] if one.error is not None} == {reason.code}
    assert rig.stored_sets() == rig.committed_sets(NAMES)
    rig.reconciler.reconcile()
    rig.drain()
    assert [(one.state, one.error) for one in records(rig)] == [(DocumentState.INDEXED, None)] * 3
    assert sorted(rig.stored_sets()) == rig.committed_sets(NAMES)


def test_what_is_not_begun_is_given_back_untouched(rig: IngestRig) -> None:
    """A message that is taken in the last moment goes back as it came."""
    report = rig.indexing.index(rig.queue.batches.popleft(), stopped_after(rig, 0, REASONS[0]))
    assert (report.committed, report.released) == (0, 3)
    assert rig.stored_sets() == []
    rig.reconciler.reconcile()
    assert [report.committed for report in rig.drain()] == [3]
