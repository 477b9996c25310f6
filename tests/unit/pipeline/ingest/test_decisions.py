"""What becomes of an arrival: a table."""

import pytest

from second_opinion.pipeline.ingest.decisions import SETTLING_SECONDS, Arrival, arrival, decide_delete, decide_put
from second_opinion.schemas.document import (
    AcceptOutcome,
    DeletionInput,
    DocumentInput,
    DocumentRecord,
    DocumentState,
    WriteSet,
)

NOW = 1_700_000_000.0


def arrived(text: str, version: int | None = None) -> Arrival:
    """Return a document that arrives with this text."""
    return arrival(DocumentInput(id="d", text=text, source_version=version), target="g2", at=NOW)


def stored(
    state: DocumentState, text: str, *, committed: str | None = None, version: int | None = None
) -> DocumentRecord:
    """Return a record whose target has one text and whose readers see another."""
    document = DocumentInput(id="d", text=text)
    sets = {} if committed is None else {"index": WriteSet(write_set="g0.1", chunks=1)}
    return DocumentRecord(
        key=arrived(text).key,
        collection="default",
        document_id="d",
        source_version=version,
        content_hash="" if state is DocumentState.DELETED else arrival(document, target="", at=NOW).content_hash,
        target="g1",
        state=state,
        committed=sets,
        committed_target="g0" if committed else None,
        committed_hash=None if committed is None else arrived(committed).content_hash,
        attempts=2,
        lease_owner="worker",
        lease_until=NOW + 10,
        accepted_at=NOW - 10,
        updated_at=NOW - 10,
    )


RECEIVED, INDEXED, FAILED, DELETED = DocumentState
ACCEPTED, UNCHANGED, SUPERSEDED, REJECTED = (
    AcceptOutcome.ACCEPTED,
    AcceptOutcome.UNCHANGED,
    AcceptOutcome.SUPERSEDED,
    AcceptOutcome.REJECTED,
)

PUTS = [
    # what is stored                                          what arrives       outcome     begins work
    (None, ("a", None), ACCEPTED, True),
    (stored(RECEIVED, "a"), ("a", None), ACCEPTED, False),
    (stored(RECEIVED, "a"), ("b", None), ACCEPTED, True),
    (stored(RECEIVED, "b", committed="a"), ("a", None), ACCEPTED, True),
    (stored(INDEXED, "a", committed="a"), ("a", None), UNCHANGED, False),
    (stored(INDEXED, "a", committed="a"), ("b", None), ACCEPTED, True),
    (stored(FAILED, "a"), ("a", None), ACCEPTED, True),
    (stored(FAILED, "b", committed="a"), ("a", None), UNCHANGED, False),
    (stored(FAILED, "b", committed="a"), ("b", None), ACCEPTED, True),
    (stored(DELETED, "a"), ("a", None), ACCEPTED, True),
    (stored(INDEXED, "a", committed="a", version=5), ("b", 4), SUPERSEDED, False),
    (stored(INDEXED, "a", committed="a", version=5), ("a", 4), SUPERSEDED, False),
    (stored(INDEXED, "a", committed="a", version=5), ("b", 5), REJECTED, False),
    (stored(INDEXED, "a", committed="a", version=5), ("a", 5), UNCHANGED, False),
    (stored(INDEXED, "a", committed="a", version=5), ("a", 6), UNCHANGED, False),
    (stored(INDEXED, "a", committed="a", version=5), ("b", 6), ACCEPTED, True),
    (stored(INDEXED, "a", committed="a", version=5), ("b", None), ACCEPTED, True),
    (stored(RECEIVED, "a", version=5), ("a", 5), ACCEPTED, False),
    (stored(RECEIVED, "a", version=5), ("b", 5), REJECTED, False),
    (stored(FAILED, "a", version=5), ("a", 5), ACCEPTED, True),
    (stored(DELETED, "a", version=5), ("a", 5), SUPERSEDED, False),
    (stored(DELETED, "a", version=5), ("a", 6), ACCEPTED, True),
]


@pytest.mark.parametrize(("record", "sent", "outcome", "begins"), PUTS)
def test_a_document_is_decided_on_by_what_is_stored(
    record: DocumentRecord | None, sent: tuple[str, int | None], outcome: AcceptOutcome, *, begins: bool
) -> None:
    """Outcome and work follow from state, hashes and versions alone."""
    decision = decide_put(record, arrived(*sent))
    assert (decision.outcome, decision.begins) == (outcome, begins)
    assert (decision.error is not None) == (outcome is REJECTED)


def test_a_new_operation_starts_afresh_and_keeps_what_readers_see() -> None:
    """Lease, attempts and errors of the former operation are gone; the committed set stays."""
    before = stored(RECEIVED, "b", committed="a", version=5)
    after = decide_put(before, arrived("c")).record
    assert after is not None
    assert (after.target, after.attempts, after.lease_owner, after.lease_until) == ("g2", 0, None, 0.0)
    assert (after.committed, after.committed_target, after.committed_hash) == (
        before.committed,
        before.committed_target,
        before.committed_hash,
    )
    assert after.source_version == 5


def test_a_raised_version_leaves_the_work_alone() -> None:
    """A newer version of the pending content only raises the version: its lease goes on."""
    before = stored(RECEIVED, "a", version=5)
    after = decide_put(before, arrived("a", 6)).record
    assert after == before.model_copy(update={"source_version": 6})


@pytest.mark.parametrize(
    ("changes", "enqueues"),
    [
        ({"enqueued_at": NOW - SETTLING_SECONDS}, True),
        ({"enqueued_at": 0.0}, True),
        ({"enqueued_at": NOW - SETTLING_SECONDS + 0.1}, False),
        ({"attempts": 1}, False),
        ({"lease_owner": "worker"}, False),
    ],
    ids=["nobody began", "known to be in no queue", "just sent", "begun before", "somebody is at it"],
)
def test_what_comes_again_and_nobody_began_is_sent_again(changes: dict[str, object], *, enqueues: bool) -> None:
    """Its operation stays, and no other writes what is there; it is marked, so that who asks next sends no third."""
    waiting = {"attempts": 0, "lease_owner": None, "lease_until": 0.0, "enqueued_at": NOW - 60, **changes}
    before = stored(RECEIVED, "a").model_copy(update=waiting)
    decision = decide_put(before, arrived("a"))
    assert (decision.outcome, decision.begins, decision.enqueues) == (ACCEPTED, False, enqueues)
    assert decision.record == (before.model_copy(update={"enqueued_at": NOW}) if enqueues else None)


DELETIONS = [
    (None, None, REJECTED, False),
    (None, 3, AcceptOutcome.DELETED, True),
    (stored(INDEXED, "a", committed="a"), None, AcceptOutcome.DELETED, True),
    (stored(RECEIVED, "a", version=5), 4, SUPERSEDED, False),
    (stored(RECEIVED, "a", version=5), 5, AcceptOutcome.DELETED, True),
    (stored(DELETED, "a", version=5), None, AcceptOutcome.DELETED, False),
    (stored(DELETED, "a", version=5), 5, AcceptOutcome.DELETED, False),
    (stored(DELETED, "a", version=5), 6, AcceptOutcome.DELETED, True),
    (stored(DELETED, "a", version=5), 4, SUPERSEDED, False),
]


@pytest.mark.parametrize(("record", "version", "outcome", "writes"), DELETIONS)
def test_a_deletion_is_decided_on_by_what_is_stored(
    record: DocumentRecord | None, version: int | None, outcome: AcceptOutcome, *, writes: bool
) -> None:
    """A deletion leaves a tombstone with the highest version known, and readers see nothing from then on."""
    decision = decide_delete(record, DeletionInput(id="d", source_version=version), target="g2", at=NOW)
    assert (decision.outcome, decision.record is not None) == (outcome, writes)
    if decision.record is not None:
        assert decision.record.committed == {}
        known = None if record is None else record.source_version
        assert decision.record.source_version == (known if version is None else version)


@pytest.mark.parametrize(
    "change",
    [
        {"title": "t"},
        {"uri": "u"},
        {"metadata": {"k": 1}},
        {"media_type": "text/markdown"},
        {"text": "b"},
        {"text": None, "content": "YQ=="},
    ],
)
def test_everything_that_is_indexed_is_in_the_hash(change: dict[str, object]) -> None:
    """Two documents that differ in anything indexed have different hashes."""
    plain = {"id": "d", "text": "a"}
    one = arrival(DocumentInput.model_validate(plain), target="g", at=NOW)
    other = arrival(DocumentInput.model_validate({**plain, **change}), target="g", at=NOW)
    assert one.content_hash != other.content_hash


def test_the_order_of_metadata_does_not_matter() -> None:
    """The same fields in another order, at another time and under another version are the same content."""
    one = DocumentInput(id="d", text="a", metadata={"a": 1, "b": 2})
    other = DocumentInput(id="d", text="a", metadata={"b": 2, "a": 1}, source_version=3)
    first = arrival(one, target="g1", at=NOW)
    assert first.content_hash == arrival(other, target="g2", at=NOW + 1).content_hash
