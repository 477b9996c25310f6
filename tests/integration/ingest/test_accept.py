"""Accepting and deleting: what callers hear, and what of it readers see."""

import base64
from collections.abc import Mapping

import pytest

from second_opinion.schemas.document import AcceptOutcome, DocumentState
from second_opinion.schemas.errors import BrokerUnavailable, UnknownDocument
from second_opinion.testing.ingest import Failing

from .conftest import Bench

CHILD = "Give 5 to 10 mg of ibuprofen per kg of body weight."
ADULT = "Adults take 200 to 400 mg of ibuprofen at a time."


def texts(bench: Bench, document_id: str = "d1") -> list[str]:
    """Return the chunk texts of a document that readers see."""
    return [hit.text for hit in bench.rig.seen_by_readers(document_id)]


def test_an_accepted_document_becomes_searchable(bench: Bench) -> None:
    """Accepted is recorded and invisible; after the work it is visible whole, with its place in the text."""
    receipt = bench.rig.put("leaflets/1 ü", CHILD, title="Child", metadata={"year": 2020})
    assert receipt.outcome is AcceptOutcome.ACCEPTED
    before = bench.rig.status("leaflets/1 ü")
    assert (before.state, before.searchable, before.target) == (DocumentState.RECEIVED, False, receipt.target)
    bench.rig.drain()
    after = bench.rig.status("leaflets/1 ü")
    assert (after.state, after.searchable, after.current, after.chunks) == (DocumentState.INDEXED, True, True, 1)
    (hit,) = bench.rig.seen_by_readers("leaflets/1 ü")
    assert (hit.text, hit.start, hit.end, hit.title, hit.metadata) == (CHILD, 0, len(CHILD), "Child", {"year": 2020})


def test_unchanged_content_is_not_embedded_again(bench: Bench) -> None:
    """The same document again is `unchanged`: nothing is queued, embedded or written."""
    bench.rig.put("d1", CHILD, source_version=1)
    bench.rig.drain()
    embedded = len(bench.embedder.passages)
    outcomes = [bench.rig.put("d1", CHILD, source_version=version).outcome for version in (1, 2)]
    assert outcomes == [AcceptOutcome.UNCHANGED] * 2
    assert bench.rig.drain() == []
    assert len(bench.embedder.passages) == embedded == 1
    assert bench.rig.status("d1").source_version == 2


@pytest.mark.parametrize(
    "change", [{"title": "New"}, {"uri": "file:///new"}, {"metadata": {"year": 1}}, {"media_type": "text/markdown"}]
)
def test_whatever_is_shown_or_filtered_counts_as_content(bench: Bench, change: Mapping[str, object]) -> None:
    """Another title, uri, media type or metadata with the same text is a change."""
    bench.rig.put("d1", CHILD)
    bench.rig.drain()
    assert bench.rig.put("d1", CHILD, **change).outcome is AcceptOutcome.ACCEPTED


def test_an_update_replaces_the_old_version_and_removes_it(bench: Bench) -> None:
    """Readers see the old version until the new one is committed; then nothing of the old one is left in any store."""
    first = bench.rig.put("d1", CHILD)
    bench.rig.drain()
    bench.rig.put("d1", ADULT)
    assert texts(bench) == [CHILD]
    assert bench.rig.status("d1").current is False
    bench.rig.drain()
    assert texts(bench) == [ADULT]
    assert bench.rig.stored_sets() == bench.rig.committed_sets(["d1"])
    bench.settle()
    targets = [ref.target for _, ref in bench.rig.stores.contents.older_than(float("1e12"), limit=10)]
    assert targets == [bench.rig.status("d1").target] != [first.target]


def test_sending_a_pending_document_again_changes_nothing(bench: Bench) -> None:
    """The same content again, before it is worked on, leads to the same operation and no second message."""
    first = bench.rig.put("d1", CHILD, source_version=1)
    again = bench.rig.put("d1", CHILD, source_version=1)
    assert again == first
    assert len(bench.rig.queue.batches) == 1


def test_older_versions_are_superseded(bench: Bench) -> None:
    """A late message of an older version changes nothing, before and after the newer one is indexed."""
    bench.rig.put("d1", ADULT, source_version=7)
    assert bench.rig.put("d1", CHILD, source_version=6).outcome is AcceptOutcome.SUPERSEDED
    bench.rig.drain()
    assert bench.rig.put("d1", CHILD, source_version=6).outcome is AcceptOutcome.SUPERSEDED
    bench.rig.drain()
    assert texts(bench) == [ADULT]


def test_one_version_cannot_have_two_contents(bench: Bench) -> None:
    """The same version with other content is refused with what to do."""
    bench.rig.put("d1", CHILD, source_version=7)
    receipt = bench.rig.put("d1", ADULT, source_version=7)
    assert receipt.outcome is AcceptOutcome.REJECTED
    assert receipt.error is not None
    assert (receipt.error.code, receipt.error.hint != "") == ("version_conflict", True)


def test_without_versions_the_last_to_arrive_wins(bench: Bench) -> None:
    """Documents without a version replace each other in the order of arrival, back and forth."""
    for text in (CHILD, ADULT, CHILD):
        assert bench.rig.put("d1", text).outcome is AcceptOutcome.ACCEPTED
        bench.rig.drain()
        assert texts(bench) == [text]


def test_two_versions_in_one_batch_are_taken_in_order(bench: Bench) -> None:
    """The second of two versions in one batch wins; only its operation is queued; the neighbour is untouched."""
    receipts = bench.rig.acceptance.accept(
        [{"id": "d1", "text": CHILD}, {"id": "other", "text": "Other."}, {"id": "d1", "text": ADULT}]
    )
    assert [receipt.outcome for receipt in receipts] == [AcceptOutcome.ACCEPTED] * 3
    queued = [ref.target for batch in bench.rig.queue.batches for ref in batch]
    assert sorted(queued) == sorted([str(receipts[1].target), str(receipts[2].target)])
    bench.rig.drain()
    assert texts(bench) == [ADULT]
    assert texts(bench, "other") == ["Other."]


def test_a_raised_version_in_one_batch_is_queued_once_and_writes_nothing_twice(bench: Bench) -> None:
    """The same content with a higher version is the operation that the first began."""
    first, second = bench.rig.acceptance.accept(
        [{"id": "d1", "text": CHILD, "source_version": version} for version in (1, 2)]
    )
    assert first.target == second.target
    assert [[ref.target for ref in batch] for batch in bench.rig.queue.batches] == [[first.target]]
    bench.settle()
    written = [ref.target for _, ref in bench.rig.stores.contents.older_than(float("1e12"), limit=10)]
    assert written == [first.target]


def test_a_batch_with_the_older_version_last_keeps_the_newer(bench: Bench) -> None:
    """In one batch as in two, an older version behind a newer one is superseded."""
    receipts = bench.rig.acceptance.accept(
        [{"id": "d1", "text": ADULT, "source_version": 2}, {"id": "d1", "text": CHILD, "source_version": 1}]
    )
    assert [receipt.outcome for receipt in receipts] == [AcceptOutcome.ACCEPTED, AcceptOutcome.SUPERSEDED]


def test_a_deleted_document_is_gone_at_once(bench: Bench) -> None:
    """When the deletion is answered readers see nothing, and chunks and contents are removed."""
    bench.rig.put("d1", CHILD, source_version=1)
    bench.rig.drain()
    assert bench.rig.delete("d1", source_version=2).outcome is AcceptOutcome.DELETED
    assert texts(bench) == []
    assert bench.rig.status("d1").state is DocumentState.DELETED
    assert bench.rig.stored_sets() == []
    bench.settle()
    assert bench.rig.stores.contents.older_than(float("1e12"), limit=10) == []


def test_a_late_message_does_not_resurrect_a_deleted_document(bench: Bench) -> None:
    """Neither a late put of an older version, nor the message of one that was accepted before, brings it back."""
    bench.rig.put("d1", CHILD, source_version=1)
    late = list(bench.rig.queue.batches)
    bench.rig.delete("d1", source_version=2)
    assert bench.rig.put("d1", CHILD, source_version=1).outcome is AcceptOutcome.SUPERSEDED
    for batch in late:
        assert bench.rig.indexing.index(batch).taken == 0
    assert texts(bench) == []
    assert bench.rig.stored_sets() == []


def test_a_deletion_without_version_still_guards_against_older_messages(bench: Bench) -> None:
    """A deletion keeps the version that was known, so that a late put of that version stays superseded."""
    bench.rig.put("d1", CHILD, source_version=5)
    bench.rig.delete("d1")
    assert bench.rig.put("d1", CHILD, source_version=5).outcome is AcceptOutcome.SUPERSEDED
    assert bench.rig.put("d1", CHILD, source_version=6).outcome is AcceptOutcome.ACCEPTED


def test_a_deletion_may_overtake_its_document(bench: Bench) -> None:
    """A deletion with a version is kept even for an unknown document, and the older put behind it is superseded."""
    assert bench.rig.delete("d1", source_version=3).outcome is AcceptOutcome.DELETED
    assert bench.rig.put("d1", CHILD, source_version=2).outcome is AcceptOutcome.SUPERSEDED
    assert bench.rig.delete("d1", source_version=2).outcome is AcceptOutcome.SUPERSEDED


def test_deleting_twice_is_fine_and_deleting_the_unknown_is_told(bench: Bench) -> None:
    """A second deletion answers as the first; a document that never was is an error with a code."""
    bench.rig.put("d1", CHILD)
    assert [bench.rig.delete("d1").outcome for _ in range(2)] == [AcceptOutcome.DELETED] * 2
    receipt = bench.rig.delete("never")
    assert receipt.error is not None
    assert receipt.error.code == "unknown_document"
    with pytest.raises(UnknownDocument):
        bench.rig.status("never")


def test_a_deleted_document_can_come_back(bench: Bench) -> None:
    """The same content after a deletion is accepted and indexed again."""
    bench.rig.put("d1", CHILD)
    bench.rig.drain()
    bench.rig.delete("d1")
    assert bench.rig.put("d1", CHILD).outcome is AcceptOutcome.ACCEPTED
    bench.rig.drain()
    assert texts(bench) == [CHILD]


def test_bytes_are_extracted_and_indexed(bench: Bench) -> None:
    """A file of bytes goes through extraction; readers see its text."""
    content = base64.b64encode("\ufeffÜber die Dosis".encode("utf-16")).decode()
    receipts = bench.rig.acceptance.accept([{"id": "d1", "content": content}])
    assert receipts[0].outcome is AcceptOutcome.ACCEPTED
    assert len(bench.rig.queue.extractions) == 1
    bench.rig.drain()
    assert [text.lstrip("\ufeff") for text in texts(bench)] == ["Über die Dosis"]


def test_a_failed_update_can_be_taken_back(bench: Bench) -> None:
    """Sending the committed content after an update that failed is `unchanged`, and the failure is over."""
    bench.rig.put("d1", CHILD)
    bench.rig.drain()
    bad = base64.b64encode(b"\xff\xfe\xff").decode()
    bench.rig.acceptance.accept([{"id": "d1", "content": bad}])
    bench.rig.drain()
    assert bench.rig.status("d1").state is DocumentState.FAILED
    assert texts(bench) == [CHILD]
    assert bench.rig.put("d1", CHILD).outcome is AcceptOutcome.UNCHANGED
    assert (bench.rig.status("d1").state, bench.rig.status("d1").error) == (DocumentState.INDEXED, None)


def test_a_document_is_accepted_even_if_the_queue_is_down(bench: Bench) -> None:
    """Recorded is accepted: with the broker away the receipt says accepted, and the reconciler enqueues it later."""
    down = Failing(bench.rig.queue, "index", BrokerUnavailable("no broker"))
    receipts = bench.rig.with_stores(queue=down).acceptance.accept([{"id": "d1", "text": CHILD}])
    assert receipts[0].outcome is AcceptOutcome.ACCEPTED
    assert len(bench.rig.queue.batches) == 0
    assert bench.reconcile() == 1
    bench.rig.drain()
    assert texts(bench) == [CHILD]
