"""Leases: the right of one piece of work to bring one operation further, for a limited time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from hashlib import blake2b
from typing import Final

from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Seen, Swap
from second_opinion.schemas.chunk import write_set_id
from second_opinion.schemas.document import DocumentRecord, DocumentRef, DocumentState
from second_opinion.schemas.errors import (
    AttemptsExhausted,
    BrokerUnavailable,
    ErrorInfo,
    InternalError,
    JobStoreUnavailable,
    OpinionError,
    Overloaded,
    StoreUnavailable,
    WriteConflict,
)

CONFLICT_ROUNDS: Final = 5
BACKOFF_FACTOR: Final = 3
MOST_BACKOFF_STEPS: Final = 20
DEADLINE: Final = "deadline_exceeded"
LOSSES_IN_COMPANY: Final = 2
"""After so many lost workers an operation is worked on alone, so that what happens then tells of it and no other."""

SERVERS_AWAY: Final = frozenset(
    one.code for one in (StoreUnavailable, BrokerUnavailable, JobStoreUnavailable, Overloaded, WriteConflict)
)
"""Errors that tell of a server, or of who else was there, and nothing of the document."""

Change = Callable[[DocumentRecord], DocumentRecord]


class Ending(StrEnum):
    """How work on one operation ended."""

    DONE = "done"
    FAILED = "failed"
    RELEASED = "released"
    LOST = "lost"


@dataclass(slots=True)
class Held:
    """One operation that this piece of work holds the lease of.

    Attributes:
        seen: The record as it was last written or read by us.
        renewed_at: When the lease was last taken or renewed (Unix seconds).
        ending: How it ended; None while it is worked on.
    """

    seen: Seen
    owner: str
    renewed_at: float
    ending: Ending | None = None

    @property
    def record(self) -> DocumentRecord:
        """The record as it was last written or read by us."""
        return self.seen.record

    @property
    def ref(self) -> DocumentRef:
        """The operation."""
        return DocumentRef(key=self.record.key, target=self.record.target)

    @property
    def write_set(self) -> str:
        """The set that this attempt writes."""
        return write_set_id(self.record.target, self.record.attempts)

    def is_ours(self, record: DocumentRecord) -> bool:
        """Tell whether a record still has our operation as its target and us as the holder of its lease."""
        return (
            record.target == self.record.target
            and record.lease_owner == self.owner
            and record.state is DocumentState.RECEIVED
        )


class Leases:
    """Takes, renews and ends leases, each by compare-and-set."""

    def __init__(self, stores: Stores, policy: Policy) -> None:
        self._stores = stores
        self._policy = policy

    def parted(self, refs: Sequence[DocumentRef]) -> tuple[list[DocumentRef], list[DocumentRef]]:
        """Return the operations of a message to be worked on in company, and those to be worked on alone.

        The latter are those with which so many workers were lost. Left out of a message of many is what a worker was
        lost with since it was sent: it has a message of its own, or gets one, and must not take these with it again.
        """
        seen = self._stores.documents.get([ref.key for ref in refs])
        records = {ref: seen[ref.key].record for ref in refs if ref.key in seen}
        losses = {ref: _losses(record) for ref, record in records.items() if record.ref == ref}
        suspects = [ref for ref, lost in losses.items() if lost >= LOSSES_IN_COMPANY]
        if len(refs) > 1:
            return [ref for ref in refs if not losses.get(ref)], suspects
        return [ref for ref in refs if ref not in suspects], suspects

    def take(self, refs: Sequence[DocumentRef], *, extraction: bool, alone: bool = False) -> list[Held]:
        """Take the leases of those operations that are due; the others are somebody else's or no longer wanted.

        An operation that failed, or ended workers, too often already is recorded as failed instead, with its last
        error.

        Args:
            refs: The operations.
            extraction: Whether they are due to be extracted, or to be indexed.
            alone: This process does nothing else meanwhile.
        """
        now = self._stores.clock.now()
        latest = {ref.key: ref for ref in refs}
        seen = self._stores.documents.get(list(latest))
        due = [
            seen[key]
            for key, ref in latest.items()
            if key in seen and _is_due(seen[key].record, ref, now, extraction=extraction)
        ]
        owner = self._stores.ids.new()
        swaps = [Swap(self._begun(one.record, owner, now, alone=alone), one) for one in due]
        taken = [one for one in self._stores.documents.swap(swaps) if one is not None]
        return [Held(one, owner, now) for one in taken if one.record.state is DocumentState.RECEIVED]

    def renew_due(self, held: Sequence[Held]) -> None:
        """Renew the leases of which a third is over; one that is no longer ours is marked as lost."""
        now = self._stores.clock.now()
        due = [one for one in held if one.ending is None and now - one.renewed_at >= self._policy.lease_seconds / 3]
        if not due:
            return
        until = now + self._policy.lease_seconds
        self.update(due, lambda record: record.model_copy(update={"lease_until": until, "updated_at": now}))
        for one in due:
            one.renewed_at = now

    def end_badly(self, problems: Sequence[tuple[Held, Exception]]) -> None:
        """Record failures: permanent ones fail the document, the others let it go to be tried again later."""
        now = self._stores.clock.now()
        for one, problem in problems:
            info = _info(problem)
            self.update([one], partial(after_failure, error=info, policy=self._policy, now=now))
            if one.ending is None:
                one.ending = Ending.FAILED if one.record.state is DocumentState.FAILED else Ending.RELEASED

    def let_go(self, held: Sequence[Held], reason: OpinionError) -> None:
        """Give up leases without blame on the documents, to be enqueued again at once."""
        now = self._stores.clock.now()
        rest = [one for one in held if one.ending is None]
        self.update(rest, lambda record: _released(record, reason.info(), not_before=now, now=now))
        for one in rest:
            one.ending = one.ending or Ending.RELEASED

    def update(self, held: Sequence[Held], change: Change) -> None:
        """Change records by compare-and-set for as long as they are ours; mark the others as lost."""
        open_ones = list(held)
        for _ in range(CONFLICT_ROUNDS):
            results = self._stores.documents.swap([Swap(change(one.record), one.seen) for one in open_ones])
            losers = []
            for one, result in zip(open_ones, results, strict=True):
                if result is None:
                    losers.append(one)
                else:
                    one.seen = result
            open_ones = self._still_ours(losers)
            if not open_ones:
                return
        for one in open_ones:
            one.ending = Ending.LOST

    def _still_ours(self, losers: Sequence[Held]) -> list[Held]:
        seen = self._stores.documents.get([one.record.key for one in losers]) if losers else {}
        ours: list[Held] = []
        for one in losers:
            current = seen.get(one.record.key)
            if current is not None and one.is_ours(current.record):
                one.seen = current
                ours.append(one)
            else:
                one.ending = Ending.LOST
        return ours

    def _begun(self, record: DocumentRecord, owner: str, now: float, *, alone: bool) -> DocumentRecord:
        record = abandoned(record, self._policy, now)
        if record.state is not DocumentState.RECEIVED:
            return record
        return record.model_copy(
            update={
                "attempts": record.attempts + 1,
                "lease_owner": owner,
                "lease_until": now + self._policy.lease_seconds,
                "lease_alone": alone,
                "updated_at": now,
            }
        )


def abandoned(record: DocumentRecord, policy: Policy, now: float) -> DocumentRecord:
    """Return the record without the lease that ran out, the loss counted; failed, if it ends workers too often.

    A loss in company counts for nothing, because another operation may have been the cause.
    """
    if record.lease_owner is None:
        return record
    free = {"lease_owner": None, "lease_until": 0.0, "losses": record.losses + 1}
    lone = record.lone_losses + (1 if record.lease_alone else 0)
    left = record.model_copy(update={**free, "lone_losses": lone})
    if lone < policy.max_attempts:
        return left
    told = f"{left.losses} workers ended in the middle of it, the last {lone} while they did nothing else"
    return _exhausted(left, told, now)


def after_failure(record: DocumentRecord, error: ErrorInfo, policy: Policy, now: float) -> DocumentRecord:
    """Return the record after an attempt that failed: failed for good, or let go until the backoff is over.

    That a server is away is not the document's fault and counts for nothing, however often it is met. But what still
    meets it when the longest outage is over may be its cause.
    """
    if not error.transient:
        return _failed(record, error, now)
    if error.code in SERVERS_AWAY and now - record.accepted_at < policy.outage_seconds:
        pause = backoff(record.key, record.attempts, error, policy)
        return _released(record, error, not_before=now + pause, now=now)
    failures = record.failures + 1
    if failures >= policy.max_attempts:
        return _exhausted(record, f"it failed {failures} times; the last time: {error.message}", now)
    pause = backoff(record.key, failures, error, policy)
    record = record.model_copy(update={"failures": failures})
    return _released(record, error, not_before=now + pause, now=now)


def backoff(key: str, failures: int, error: ErrorInfo, policy: Policy) -> float:
    """Return the seconds to wait after a failure, or after an attempt that met an outage, counted from 1.

    Half of it is spread by the document's key, so that documents that failed together do not come back together. What
    the error asks for is waited for in any case.
    """
    steps = min(max(failures, 1) - 1, MOST_BACKOFF_STEPS)
    longest = min(policy.backoff_seconds * float(BACKOFF_FACTOR) ** steps, policy.longest_backoff_seconds)
    spread = blake2b(f"{key}@{failures}".encode(), digest_size=4).digest()
    own = longest * (0.5 + int.from_bytes(spread) / 2**33)
    return max(own, error.retry_after or 0.0)


def _losses(record: DocumentRecord) -> int:
    """Return how many workers were lost with it, one that has its lease counted: if that is over, it was."""
    return record.losses + (1 if record.lease_owner is not None else 0)


def _is_due(record: DocumentRecord, ref: DocumentRef, now: float, *, extraction: bool) -> bool:
    wanted = record.target == ref.target and record.state is DocumentState.RECEIVED
    free = record.lease_until <= now and record.not_before <= now
    return wanted and free and record.needs_extraction is extraction


def _failed(record: DocumentRecord, error: ErrorInfo, now: float) -> DocumentRecord:
    ended = {"state": DocumentState.FAILED, "error": error, "lease_owner": None, "lease_until": 0.0, "updated_at": now}
    return record.model_copy(update=ended)


def _exhausted(record: DocumentRecord, told: str, now: float) -> DocumentRecord:
    problem = AttemptsExhausted(told, hint="Remove the cause, then try again: opinion dead-letters retry")
    return _failed(record, problem.info(), now)


def _released(record: DocumentRecord, error: ErrorInfo, *, not_before: float, now: float) -> DocumentRecord:
    free = {"lease_owner": None, "lease_until": 0.0, "not_before": not_before, "enqueued_at": 0.0}
    return record.model_copy(update={**free, "error": error, "updated_at": now})


def _info(problem: Exception) -> ErrorInfo:
    """Return a problem as data. A defect or a lack of time may pass, so both are tried again while attempts last."""
    if isinstance(problem, OpinionError):
        info = problem.info()
        return info.model_copy(update={"transient": True}) if info.code == DEADLINE else info
    defect = InternalError(f"{type(problem).__name__}: {problem}").info()
    return defect.model_copy(update={"transient": True})
