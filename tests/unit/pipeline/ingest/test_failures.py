"""What becomes of a document after an attempt that failed or was lost: pure decisions, as tables."""

import pytest

from second_opinion.pipeline.ingest.leases import abandoned, after_failure, backoff
from second_opinion.pipeline.ingest.stores import Policy
from second_opinion.schemas.document import DocumentRecord, DocumentState
from second_opinion.schemas.errors import (
    AttemptsExhausted,
    ContentMissing,
    EmptyDocument,
    ErrorInfo,
    OpinionError,
    Overloaded,
    StoreUnavailable,
    WriteConflict,
)

NOW = 1_700_000_000.0
POLICY = Policy(max_attempts=3, backoff_seconds=8.0)
AWAY = StoreUnavailable("away").info()


def a_record(**fields: object) -> DocumentRecord:
    known = {"key": "k", "collection": "default", "document_id": "d", "content_hash": "h", "target": "g"}
    held = {"lease_owner": "w", "lease_until": NOW, "attempts": 1, "state": DocumentState.RECEIVED}
    return DocumentRecord.model_validate({**known, **held, "accepted_at": NOW, "updated_at": NOW, **fields})


@pytest.mark.parametrize(
    ("failures", "error", "state", "code"),
    [
        (0, StoreUnavailable("away"), DocumentState.RECEIVED, "store_unavailable"),
        (1, StoreUnavailable("away"), DocumentState.RECEIVED, "store_unavailable"),
        (2, StoreUnavailable("away"), DocumentState.RECEIVED, "store_unavailable"),
        (2, WriteConflict("somebody else was first"), DocumentState.RECEIVED, "write_conflict"),
        (1, ContentMissing("away"), DocumentState.RECEIVED, "content_missing"),
        (2, ContentMissing("away"), DocumentState.FAILED, AttemptsExhausted.code),
        (0, EmptyDocument("nothing"), DocumentState.FAILED, "empty_document"),
        (0, Overloaded("full", retry_after=90.0), DocumentState.RECEIVED, "overloaded"),
    ],
)
def test_a_failed_attempt(failures: int, error: OpinionError, state: DocumentState, code: str) -> None:
    """What may pass is tried again while attempts last; what cannot fails at once; the lease is gone either way."""
    after = after_failure(a_record(failures=failures), error.info(), POLICY, NOW)
    assert after.error is not None
    assert (after.state, after.error.code, after.lease_owner, after.lease_until) == (state, code, None, 0.0)
    assert (after.not_before > NOW) == (state is DocumentState.RECEIVED)
    if code == AttemptsExhausted.code:
        assert "away" in after.error.message


def test_an_outage_parks_nothing_and_does_not_spin() -> None:
    """However often a store is met that is away, the document waits for it, ever longer up to a bound, as for a day."""
    record, now, tries = a_record(), NOW, 0
    while now < NOW + POLICY.outage_seconds:
        record = after_failure(record, AWAY, POLICY, now)
        assert (record.state, record.failures) == (DocumentState.RECEIVED, 0)
        now, tries = record.not_before, tries + 1
        record = record.model_copy(update={"attempts": record.attempts + 1})
    assert POLICY.outage_seconds / POLICY.longest_backoff_seconds < tries < POLICY.outage_seconds / 25.0
    for _ in range(POLICY.max_attempts):
        record = after_failure(record, AWAY, POLICY, now)
    assert record.error is not None
    assert (record.state, record.error.code) == (DocumentState.FAILED, AttemptsExhausted.code)


@pytest.mark.parametrize(
    ("failures", "error", "shortest", "longest"),
    [
        (1, AWAY, 4.0, 8.0),
        (2, AWAY, 12.0, 24.0),
        (3, AWAY, 30.0, 60.0),
        (9_999, AWAY, 30.0, 60.0),
        (1, Overloaded("full", retry_after=90.0).info(), 90.0, 90.0),
        (1, Overloaded("full", retry_after=1.0).info(), 4.0, 8.0),
    ],
)
def test_pauses_grow_and_are_spread(failures: int, error: ErrorInfo, shortest: float, longest: float) -> None:
    """Three times as long each time, spread over half of that by the document, never shorter than what is asked for."""
    pauses = [backoff(f"key-{number}", failures, error, POLICY) for number in range(200)]
    assert shortest <= min(pauses) <= max(pauses) <= longest
    if longest > shortest:
        assert max(pauses) - min(pauses) > 0.9 * (longest - shortest)


@pytest.mark.parametrize(
    ("losses", "lone_losses", "alone", "state", "counted"),
    [
        (0, 0, False, DocumentState.RECEIVED, (1, 0)),
        (99, 0, False, DocumentState.RECEIVED, (100, 0)),
        (2, 0, True, DocumentState.RECEIVED, (3, 1)),
        (3, 1, True, DocumentState.RECEIVED, (4, 2)),
        (4, 2, True, DocumentState.FAILED, (5, 3)),
        (4, 2, False, DocumentState.RECEIVED, (5, 2)),
    ],
)
def test_a_lost_worker(
    *, losses: int, lone_losses: int, alone: bool, state: DocumentState, counted: tuple[int, int]
) -> None:
    """Only losses while nothing else ran tell of the document; a record that nobody holds has lost nobody."""
    record = a_record(losses=losses, lone_losses=lone_losses, lease_alone=alone)
    after = abandoned(record, POLICY, NOW)
    assert (after.state, (after.losses, after.lone_losses), after.lease_owner) == (state, counted, None)
    assert abandoned(after, POLICY, NOW) == after
