"""Put operations into the queue of their next step, many to a message."""

from collections.abc import Iterator, Sequence

import structlog

from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Seen, Swap, TaskQueue
from second_opinion.schemas.document import DocumentRecord
from second_opinion.schemas.errors import BrokerUnavailable

log = structlog.get_logger(__name__)


def enqueue(queue: TaskQueue, records: Sequence[DocumentRecord], policy: Policy) -> None:
    """Send each document's operation to be extracted or to be indexed.

    One that was begun before has waited its turn and goes to the front. One that a worker was lost with gets a message
    of its own: if it was the cause, it takes no batch with it again.

    Raises:
        BrokerUnavailable: If the queue takes no messages; some may have been sent.
    """
    _send(queue, [record for record in records if record.attempts == 0], policy, front=False)
    _send(queue, [record for record in records if record.attempts > 0], policy, front=True)


def enqueue_recorded(stores: Stores, policy: Policy, seen: Sequence[Seen], *, untold: str) -> None:
    """Send operations that are recorded, and so accepted. Where none can be sent, the log says it in the word `untold`.

    The reconciler sends what is known to be in no queue.
    """
    try:
        enqueue(stores.queue, [one.record for one in seen], policy)
    except BrokerUnavailable as problem:
        log.warning(untold, documents=len(seen), error=problem.message)
        stores.documents.swap(enqueued(seen, at=0.0))


def enqueued(seen: Sequence[Seen], *, at: float) -> list[Swap]:
    """Return what records when operations were put in a queue (Unix seconds); 0 when they are known to be in none."""
    return [Swap(one.record.model_copy(update={"enqueued_at": at}), one) for one in seen]


def _send(queue: TaskQueue, records: Sequence[DocumentRecord], policy: Policy, *, front: bool) -> None:
    for record in records:
        if record.needs_extraction:
            queue.extract(record.ref, front=front)
    texts = [record for record in records if not record.needs_extraction]
    for record in texts:
        if record.losses > 0:
            queue.index([record.ref], front=front)
    for message in messages([record for record in texts if record.losses == 0], policy):
        queue.index([record.ref for record in message], front=front)


def messages(records: Sequence[DocumentRecord], policy: Policy) -> Iterator[list[DocumentRecord]]:
    """Yield documents in groups that one worker can hold at once: bounded in number and in bytes."""
    group: list[DocumentRecord] = []
    size = 0
    for record in records:
        if group and (len(group) >= policy.message_documents or size + record.size > policy.group_bytes):
            yield group
            group, size = [], 0
        group.append(record)
        size += record.size
    if group:
        yield group
