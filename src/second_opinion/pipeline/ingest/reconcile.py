"""Find documents that nobody works on and that no message leads to, and enqueue them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from second_opinion.pipeline.ingest.decisions import SETTLING_SECONDS
from second_opinion.pipeline.ingest.enqueue import enqueue, enqueued
from second_opinion.pipeline.ingest.leases import abandoned
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Seen, Swap
from second_opinion.schemas.document import DocumentRecord, DocumentState
from second_opinion.schemas.errors import BrokerUnavailable

PAGE: Final = 1_000
SENDING_SECONDS: Final = 30.0
"""After so long what was marked and not confirmed is looked at again: whoever marked it ended before it was sent."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a run did with documents.

    Attributes:
        lost: Enqueued, because they were known to be in no queue.
        waiting: Enqueued, because their message seems to be lost.
        failed: Recorded as failed, because they end their workers.
    """

    lost: int = 0
    waiting: int = 0
    failed: int = 0


class Reconciler:
    """Keeps documents from being forgotten. Any number may run at once: each document is enqueued by one of them.

    A waiting document usually has its message in a queue, so it is enqueued again only when the queues hold fewer
    documents than wait, or when it has waited beyond all patience. A queue's length counts messages; each is taken
    to hold as many documents as fit in.
    """

    def __init__(self, stores: Stores, policy: Policy) -> None:
        self._stores = stores
        self._policy = policy

    def reconcile(self) -> Reconciled:
        """Look once, and enqueue what is due.

        Raises:
            BrokerUnavailable: If the queue cannot be had; nothing has changed then.
            StoreUnavailable: If Elasticsearch cannot be had; nothing is lost.
        """
        now = self._stores.clock.now()
        queued = self._queued()
        lost, failed = self._enqueue(self._stores.documents.lost(now=now, limit=PAGE), now)
        few = queued + lost < self._stores.documents.count_waiting(now=now)
        before = now - (SETTLING_SECONDS if few else self._policy.patience_seconds)
        found = self._stores.documents.waiting(now=now, enqueued_before=before, limit=PAGE)
        waiting, _ = self._enqueue(found, now)
        return Reconciled(lost=lost, waiting=waiting, failed=failed)

    def _queued(self) -> int:
        indexing = self._stores.queue.length("index") * self._policy.message_documents
        return indexing + self._stores.queue.length("extract")

    def _enqueue(self, seen: Sequence[Seen], now: float) -> tuple[int, int]:
        """Mark first, by compare-and-set, so that two reconcilers do not enqueue the same document; confirm it last.

        Returns how many were enqueued, and how many had failed.
        """
        swapped = self._stores.documents.swap([Swap(self._marked(one.record, now), one) for one in seen])
        done = [one for one in swapped if one is not None]
        ours = [one for one in done if one.record.state is DocumentState.RECEIVED]
        try:
            enqueue(self._stores.queue, [one.record for one in ours], self._policy)
        except BrokerUnavailable:
            self._stores.documents.swap(enqueued(ours, at=0.0))
            raise
        # Whoever has begun on one already has changed its record, and this leaves it alone.
        self._stores.documents.swap(enqueued(ours, at=now))
        return len(ours), len(done) - len(ours)

    def _marked(self, record: DocumentRecord, now: float) -> DocumentRecord:
        """Return the record as one that will be in a queue and that nobody works on; a former holder's lease is gone.

        Patience with it ends soon, until it is confirmed.
        """
        free = abandoned(record, self._policy, now)
        if free.state is not DocumentState.RECEIVED:
            return free
        return free.model_copy(update={"enqueued_at": now - max(0.0, self._policy.patience_seconds - SENDING_SECONDS)})
