"""Reindex: a collection moves to another physical index, under load, and can come back.

1. The target is made and written beside the source: whatever is accepted from now on is in both.
2. What readers see of every other document is made in the target, by the index workers.
3. Once the target holds every document, readers are switched to it by one compare-and-set.
4. Both are written until the operator says that it is finished, so that going back loses nothing.

Work that began before the first step may still commit to the source alone. Nobody can tell it, so its leases are noted
and waited for: of a document whose lease has another holder, or none, all later work knows both indices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

import structlog

from second_opinion.pipeline.ingest.enqueue import messages
from second_opinion.pipeline.ingest.remake import attempt_of, wants_remake
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Swap
from second_opinion.schemas.collection import CollectionRecord, Reindex, ReindexAction, ReindexPhase, ReindexStatus
from second_opinion.schemas.document import DocumentRecord, DocumentState
from second_opinion.schemas.errors import OpinionError, ReindexRefused

PAGE: Final = 500
MOST_HOLDOUTS: Final = 10_000
MOST_MESSAGES: Final = 32
"""Sent at once: what is accepted meanwhile queues behind no more than these."""
FEW_MESSAGES: Final = 2
PATIENCE_SECONDS: Final = 60.0
"""After so long they are sent again, however long the queue is: it may be the documents of others that wait."""
SHOWN_FAILURES: Final = 20
MOST_SHOWN: Final = 2_000
"""Documents that are not in the target yet, and that a status looks at."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Advanced:
    """What a look at all collections did.

    Attributes:
        sent: Documents sent to be made in their target.
        switched: Collections whose target is read from now on.
    """

    sent: int = 0
    switched: int = 0


class Reindexer:
    """Begins, ends and brings on reindexes. Any number may run at once; nothing here needs a model."""

    def __init__(self, stores: Stores, policy: Policy) -> None:
        self._stores = stores
        self._policy = policy

    def act(self, name: str, action: ReindexAction, *, hold: bool = False, leave_behind: bool = False) -> ReindexStatus:
        """Do what an operator asks for, and return how it stands then. What is done already is no error.

        Args:
            name: The collection.
            action: Begin, switch, roll back, finish or abandon. To begin again tries what failed once more.
            hold: Begin without switching by itself.
            leave_behind: Switch although some documents could not be made; they are not found from then on.

        Raises:
            ReindexRefused: If it cannot be done as things stand.
            UnknownCollection: If there is none of this name.
        """
        if action == "begin":
            self._begin(name, hold=hold)
        elif action == "switch":
            self._switch(name, leave_behind=leave_behind)
        elif action == "rollback":
            self._stores.collections.change(name, _rolled_back)
        else:
            now = self._stores.clock.now()
            ended = _finished if action == "finish" else _abandoned
            self._stores.collections.change(name, lambda record: ended(record, now))
        return self.status(name)

    def status(self, name: str) -> ReindexStatus:
        """Return how the reindex of a collection stands.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        record = self._stores.collections.get(name)
        reindex = record.reindex
        if reindex is None:
            return ReindexStatus(collection=name, phase="none", index=record.index)
        target, lacking = reindex.target, list(islice(self._lacking(record, reindex), MOST_SHOWN))
        failed = [one for one in lacking if self._has_failed(one, target)]
        counts = self._stores.documents.counts(name)
        return ReindexStatus(
            collection=name,
            phase=_phase(reindex, waits=len(lacking) > len(failed)),
            index=record.index,
            source=reindex.source,
            target=target,
            made_by=self._stores.collections.made_by(record),
            documents=sum(count for state, count in counts.items() if state is not DocumentState.DELETED),
            done=self._stores.documents.count_committed(name, target),
            failed=len(failed),
            failures={one.document_id: _why(one) for one in failed[:SHOWN_FAILURES]},
            held=reindex.holds,
            began_at=reindex.began_at,
            switched_at=reindex.switched_at,
        )

    def advance(self) -> Advanced:
        """Look at every collection that is being moved once, and bring it on.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had; the next look goes on.
        """
        sent = switched = 0
        for record in self._stores.collections.records():
            if record.reindex is None or record.reindex.switched_at is not None:
                continue
            try:
                count, done = self._advance(record.name)
            except OpinionError as problem:
                log.warning("reindex_not_advanced", collection=record.name, code=problem.code, error=problem.message)
                continue
            sent, switched = sent + count, switched + done
        return Advanced(sent, switched)

    def _begin(self, name: str, *, hold: bool) -> None:
        record = self._stores.collections.get(name)
        if record.reindex is not None:
            self._try_again(record, record.reindex, hold=hold)
            return
        _require_no_load(record)
        numbered = self._stores.collections.change(
            name, lambda known: known.model_copy(update={"generations": known.generations + 1})
        )
        target = self._stores.collections.make_index(name, numbered.generations)
        now = self._stores.clock.now()
        self._stores.collections.change(name, lambda known: _begun(known, target, now, hold=hold))

    def _try_again(self, record: CollectionRecord, reindex: Reindex, *, hold: bool) -> None:
        keys = [one.key for one in self._lacking(record, reindex) if self._has_failed(one, reindex.target)]
        for start in range(0, len(keys), PAGE):
            seen = self._stores.documents.get(keys[start : start + PAGE])
            self._stores.documents.swap(
                [Swap(one.record.model_copy(update={"remake": None}), one) for one in seen.values()]
            )
        self._change(record.name, reindex, {"holds": hold, "sent_at": 0.0})

    def _advance(self, name: str) -> tuple[int, bool]:
        record = self._stores.collections.get(name)
        if record.reindex is None or record.reindex.switched_at is not None:
            return 0, False
        reindex = self._without_ended_holdouts(record, record.reindex)
        # The look at the leases comes first: what they commit on their way out is seen below.
        lacking = self._lacking(record, reindex)
        first = next(lacking, None)
        wanted = (one for one in chain((first,), lacking) if one and not self._has_failed(one, reindex.target))
        if todo := list(islice(wanted, MOST_MESSAGES * self._policy.message_documents)):
            return self._send(record, reindex, todo), False
        if first or reindex.holdouts or reindex.holds:
            return 0, False
        self._stores.collections.change(name, lambda known: _switched(known, reindex, self._stores.clock.now()))
        return 0, True

    def _without_ended_holdouts(self, record: CollectionRecord, reindex: Reindex) -> Reindex:
        if reindex.holdouts is None:
            held = self._stores.documents.leased(record.name, limit=MOST_HOLDOUTS)
            holdouts = {one.key: one.lease_owner for one in held if one.lease_owner is not None}
        else:
            seen = self._stores.documents.get(list(reindex.holdouts))
            holdouts = {
                key: owner
                for key, owner in reindex.holdouts.items()
                if key in seen and seen[key].record.lease_owner == owner
            }
        if holdouts == reindex.holdouts:
            return reindex
        return self._change(record.name, reindex, {"holdouts": holdouts})

    def _send(self, record: CollectionRecord, reindex: Reindex, todo: list[DocumentRecord]) -> int:
        now = self._stores.clock.now()
        if self._stores.queue.length("index") > FEW_MESSAGES and now - reindex.sent_at < PATIENCE_SECONDS:
            return 0
        self._change(record.name, reindex, {"sent_at": now})
        # One that was begun before may have ended its worker: it takes no others with it.
        alone = [one for one in todo if attempt_of(one, reindex.target).attempts]
        others = [one for one in todo if not attempt_of(one, reindex.target).attempts]
        for group in (*messages(others, self._policy), *([one] for one in alone)):
            self._stores.queue.remake(record.name, reindex.target, [one.key for one in group])
        return len(todo)

    def _change(self, name: str, reindex: Reindex, update: dict[str, object]) -> Reindex:
        """Change a reindex that is still the one that was read; of another, nothing."""
        changed = reindex.model_copy(update=update)

        def change(known: CollectionRecord) -> CollectionRecord:
            if known.reindex is None or known.reindex.target != reindex.target:
                raise ReindexRefused(f"the reindex of collection {name!r} was ended meanwhile")
            return known.model_copy(update={"reindex": known.reindex.model_copy(update=update)})

        self._stores.collections.change(name, change)
        return changed

    def _lacking(self, record: CollectionRecord, reindex: Reindex) -> Iterator[DocumentRecord]:
        """Yield the documents of which readers see something, and which the target does not have yet."""
        after: str | None = None
        while page := self._stores.documents.lacking(record.name, reindex.target, after=after, limit=PAGE):
            yield from (one for one in page if wants_remake(one, reindex.target))
            after = page[-1].document_id

    def _has_failed(self, record: DocumentRecord, target: str) -> bool:
        return attempt_of(record, target).attempts >= self._policy.max_attempts

    def _switch(self, name: str, *, leave_behind: bool) -> None:
        record = self._stores.collections.get(name)
        reindex = _going_on(record)
        if reindex.switched_at is not None:
            return
        if reindex.holdouts is None or (reindex := self._without_ended_holdouts(record, reindex)).holdouts:
            raise ReindexRefused(
                f"work that began before the reindex of collection {name!r} may not be over",
                hint="Wait some seconds, and see that a maintenance worker runs.",
            )
        lacking = list(self._lacking(record, reindex))
        if any(not self._has_failed(one, reindex.target) for one in lacking) or (lacking and not leave_behind):
            raise ReindexRefused(
                f"{len(lacking)} documents of collection {name!r} are not in the new index yet",
                hint="See which, and why: opinion reindex --status. With --leave-behind those that failed stay behind.",
            )
        self._stores.collections.change(name, lambda known: _switched(known, reindex, self._stores.clock.now()))


def _phase(reindex: Reindex, *, waits: bool) -> ReindexPhase:
    if reindex.switched_at is not None:
        return "switched"
    return "filling" if waits or reindex.holdouts is None or reindex.holdouts else "filled"


def _why(record: DocumentRecord) -> str:
    error = record.remake.error if record.remake else None
    return error.message if error else "its workers ended, or lost their connection, in the middle of it"


def _going_on(record: CollectionRecord) -> Reindex:
    if record.reindex is None:
        raise ReindexRefused(
            f"no reindex of collection {record.name!r} goes on", hint="Begin one: opinion reindex COLLECTION"
        )
    return record.reindex


def _require_no_load(record: CollectionRecord) -> None:
    if record.load is not None:
        raise ReindexRefused(f"collection {record.name!r} is being filled", hint="Wait until `opinion ingest` ended.")


def _begun(record: CollectionRecord, target: str, now: float, *, hold: bool) -> CollectionRecord:
    if record.reindex is not None:
        # Somebody else was first; the index that was made in vain goes the way of all that are not used.
        return record.model_copy(update={"retired": {**record.retired, target: now}})
    _require_no_load(record)
    reindex = Reindex(source=record.index, target=target, began_at=now, holds=hold)
    return record.model_copy(update={"reindex": reindex, "writing": (record.index, target)})


def _switched(record: CollectionRecord, reindex: Reindex, now: float) -> CollectionRecord:
    known = _going_on(record)
    if known.target != reindex.target or known.switched_at is not None:
        return record
    moved = known.model_copy(update={"switched_at": now})
    return record.model_copy(update={"index": known.target, "writing": (known.target, known.source), "reindex": moved})


def _rolled_back(record: CollectionRecord) -> CollectionRecord:
    known = _going_on(record)
    if known.switched_at is None:
        return record
    back = known.model_copy(update={"switched_at": None, "holds": True})
    return record.model_copy(update={"index": known.source, "writing": (known.source, known.target), "reindex": back})


def _finished(record: CollectionRecord, now: float) -> CollectionRecord:
    known = _going_on(record)
    if known.switched_at is None:
        raise ReindexRefused(
            f"readers of collection {record.name!r} are not on the new index yet",
            hint="Wait until it is switched, or give it up with --abandon.",
        )
    return _ended(record, kept=known.target, retired=known.source, now=now)


def _abandoned(record: CollectionRecord, now: float) -> CollectionRecord:
    known = _going_on(record)
    if known.switched_at is not None:
        raise ReindexRefused(
            f"readers of collection {record.name!r} are on the new index", hint="Go back first, with --rollback."
        )
    return _ended(record, kept=known.source, retired=known.target, now=now)


def _ended(record: CollectionRecord, *, kept: str, retired: str, now: float) -> CollectionRecord:
    left = {**record.retired, retired: now}
    return record.model_copy(update={"index": kept, "writing": (kept,), "reindex": None, "retired": left})
