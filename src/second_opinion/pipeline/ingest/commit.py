"""Commit in groups: one refresh and one bulk of compare-and-sets for the documents of many threads."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from second_opinion.pipeline.ingest.clean import discard_sets, remove_leftovers
from second_opinion.pipeline.ingest.leases import Ending, Held, Leases
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.schemas.document import DocumentRecord, DocumentState, WriteSet
from second_opinion.schemas.errors import OpinionError


@dataclass(frozen=True, slots=True)
class Written:
    """A document whose chunks are all written: ready to be committed.

    Attributes:
        sets: By physical index, the set that was written.
    """

    held: Held
    sets: Mapping[str, WriteSet]


@dataclass(slots=True)
class _Ticket:
    """What one thread brought, and what became of it."""

    documents: Sequence[Written]
    brought_at: float
    done: bool = False
    problem: BaseException | None = None


@dataclass(slots=True)
class _Room:
    """Who waits for the next group."""

    tickets: list[_Ticket] = field(default_factory=list)
    busy: bool = False
    working: int = 0

    @property
    def documents(self) -> int:
        return sum(len(ticket.documents) for ticket in self.tickets)


class GroupCommitter:
    """Commits what the threads of this process bring. Whoever completes a group commits it for all.

    A group is complete when it is large enough, when its first member has waited long enough, or at once when no
    other thread is at work that could still bring something.

    Args:
        stores: The outside.
        policy: How large a group is, and how long it waits.
        changed: A `threading.Condition`, or what takes its place in a simulation.
        monotonic: A clock that never goes back, in seconds.
    """

    def __init__(
        self,
        stores: Stores,
        policy: Policy,
        *,
        changed: Any = None,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._stores = stores
        self._policy = policy
        self._leases = Leases(stores, policy)
        self._monotonic = monotonic
        self._changed = threading.Condition() if changed is None else changed
        self._room = _Room()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the caller among those who may still bring documents to the next group."""
        with self._changed:
            self._room.working += 1
        try:
            yield
        finally:
            with self._changed:
                self._room.working -= 1
                self._changed.notify_all()

    def commit(self, documents: Sequence[Written]) -> None:
        """Commit documents; each one's `held.ending` then tells what became of it.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had; leases run out and the work is done again.
        """
        if not documents:
            return
        ticket = _Ticket(documents, self._monotonic())
        with self._changed:
            self._room.tickets.append(ticket)
            self._changed.notify_all()
        while (group := self._wait(ticket)) is not None:
            self._lead(group)
        if ticket.problem is not None:
            raise ticket.problem

    def _wait(self, ticket: _Ticket) -> list[_Ticket] | None:
        """Wait until the ticket is done (None), or until it is on the caller to commit a group."""
        with self._changed:
            while not ticket.done:
                left = self._policy.commit_seconds - (self._monotonic() - ticket.brought_at)
                if not self._room.busy and (left <= 0 or self._is_complete()):
                    self._room.busy = True
                    group, self._room.tickets = self._room.tickets, []
                    return group
                self._changed.wait(max(left, 0.01))
            return None

    def _is_complete(self) -> bool:
        room = self._room
        return room.documents >= self._policy.commit_documents or len(room.tickets) >= room.working

    def _lead(self, group: Sequence[_Ticket]) -> None:
        problem: BaseException | None = None
        try:
            self._commit_group([document for ticket in group for document in ticket.documents])
        except BaseException as raised:  # noqa: BLE001 - every member of the group hears of it
            problem = raised
        with self._changed:
            self._room.busy = False
            for ticket in group:
                ticket.done, ticket.problem = True, problem
            self._changed.notify_all()

    def _commit_group(self, documents: Sequence[Written]) -> None:
        ready = self._refreshed([one for one in documents if one.held.ending is None])
        before = [one.held.record for one in ready]
        # Two threads can bring the same document, one of them too late: only the lease says whose set it is.
        sets = {(record.key, record.lease_owner): one.sets for record, one in zip(before, ready, strict=True)}
        now = self._stores.clock.now()
        self._leases.update(
            [one.held for one in ready], lambda record: committed(record, sets[record.key, record.lease_owner], now)
        )
        winners = []
        for former, one in zip(before, ready, strict=True):
            if one.held.ending is Ending.LOST:
                self._discard(one)
            else:
                one.held.ending = Ending.DONE
                winners.append((former, one.held.record))
        remove_leftovers(self._stores, winners)

    def _refreshed(self, documents: Sequence[Written]) -> list[Written]:
        problems: dict[str, OpinionError] = {}
        for index in dict.fromkeys(index for one in documents for index in one.sets):
            try:
                self._stores.chunks.refresh(index)
            except OpinionError as problem:
                problems[index] = problem
        hidden = [(one, problems[index]) for one in documents for index in one.sets if index in problems]
        self._leases.end_badly([(one.held, problem) for one, problem in hidden])
        for one, _ in hidden:
            self._discard(one)
        return [one for one in documents if not problems.keys() & one.sets.keys()]

    def _discard(self, document: Written) -> None:
        discard_sets(self._stores.chunks, document.held.record.key, document.sets)


def committed(record: DocumentRecord, sets: Mapping[str, WriteSet], now: float) -> DocumentRecord:
    """Return the record with these sets as the ones that readers see."""
    return record.model_copy(
        update={
            "committed": dict(sets),
            "committed_target": record.target,
            "committed_hash": record.content_hash,
            "state": DocumentState.INDEXED,
            "lease_owner": None,
            "lease_until": 0.0,
            "not_before": 0.0,
            "error": None,
            "updated_at": now,
        }
    )
