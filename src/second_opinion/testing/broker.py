"""Queues in memory as Celery keeps them on Redis: at least once, acknowledged late, in hands that may be lost."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Final

from second_opinion.pipeline.adapters.redis.hands import QUICK_RETURNS
from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.base import Versioned
from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.messages import ExtractDocument, IndexDocuments, RemakeDocuments, RerankCandidates, RunQuery

ALIVE_SECONDS: Final = 15.0
"""Silence after which a holder counts as dead."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way: its queue, its body as JSON data, and when (Unix seconds) it may be worked on.

    Attributes:
        front: It was put before all that waits.
        returns: How often it came back from the hands of a silent holder.
    """

    number: int
    queue: str
    body: Mapping[str, Any]
    due_at: float = 0.0
    front: bool = False
    returns: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    """A message in somebody's hands, since when (Unix seconds) and in whose."""

    delivery: Delivery
    since: float
    holder: Hashable


class MemoryBroker:
    """A broker in this process.

    What is held longer than `visibility_timeout` without being acknowledged goes back into its queue, whether or not
    somebody still works on it.

    Args:
        keeps_hands: As our workers do: what a consumer has taken is held by it at once, and of a holder that has been
            silent for 15 seconds it goes back to the front, `QUICK_RETURNS` times. Otherwise as kombu does by
            itself: a consumer that ends between taking a message and recording that it has it takes it along.
    """

    def __init__(self, *, clock: Clock, visibility_timeout: float = 3_600.0, keeps_hands: bool = True) -> None:
        self._keeps_hands = keeps_hands
        self._clock = clock
        self._visibility_timeout = visibility_timeout
        self._sent = 0
        self._waiting: defaultdict[str, list[Delivery]] = defaultdict(list)
        self._held: dict[tuple[int, Hashable], _Held] = {}
        self._silent: dict[Hashable, float] = {}

    def send(self, queue: str, body: Mapping[str, Any], *, delay: float = 0.0, front: bool = False) -> None:
        """Put a message at the end of a queue, or at its `front`, to be worked on after `delay` seconds."""
        self._sent += 1
        delivery = Delivery(self._sent, queue, body, self._clock.now() + delay if delay else 0.0, front)
        waiting = self._waiting[queue]
        at_front = sum(1 for _ in takewhile(lambda one: one.front, waiting))
        waiting.insert(at_front if front else len(waiting), delivery)

    def take(self, queue: str, holder: Hashable) -> Delivery | None:
        """Take the oldest message that is due off its queue; who does not keep its hands has still to record it."""
        for place, delivery in enumerate(self._waiting[queue]):
            if delivery.due_at <= self._clock.now():
                taken = self._waiting[queue].pop(place)
                if self._keeps_hands:
                    self.record(taken, holder)
                return taken
        return None

    def record(self, delivery: Delivery, holder: Hashable) -> None:
        """Record that a taken message is held."""
        self._held[self._place(delivery, holder)] = _Held(delivery, self._clock.now(), holder)

    def acknowledge(self, delivery: Delivery, holder: Hashable) -> None:
        """Forget a message that has had its effect; one that went back into its queue meanwhile stays there."""
        self._held.pop(self._place(delivery, holder), None)

    def _place(self, delivery: Delivery, holder: Hashable) -> tuple[int, Hashable]:
        """Return where it is kept that somebody has a message: a hash for each, or, as kombu does, one for all."""
        return (delivery.number, holder if self._keeps_hands else None)

    def restore(self) -> int:
        """Put back what has been held too long; return how many messages that was."""
        overdue = self._clock.now() - self._visibility_timeout
        late = [(place, one.delivery) for place, one in self._held.items() if one.since <= overdue]
        for place, delivery in late:
            del self._held[place]
            self._waiting[delivery.queue].insert(0, delivery)
        return len(late)

    def give_back(self, living: Collection[Hashable]) -> int:
        """Put back what those hold who have been silent for long; return how many messages that was.

        Args:
            living: Holders who can be heard now.
        """
        if not self._keeps_hands:
            return 0
        now = self._clock.now()
        holders = {one.holder for one in self._held.values()}
        self._silent = {holder: self._silent.get(holder, now) for holder in holders if holder not in living}
        dead = {holder for holder, since in self._silent.items() if now - since >= ALIVE_SECONDS}
        found = [(place, one.delivery) for place, one in self._held.items() if one.holder in dead]
        again = [(place, delivery) for place, delivery in found if delivery.returns < QUICK_RETURNS]
        for place, delivery in reversed(again):
            del self._held[place]
            self._waiting[delivery.queue].insert(0, replace(delivery, front=True, returns=delivery.returns + 1))
        return len(again)

    def due(self, queue: str) -> bool:
        """Tell whether a message of a queue can be taken."""
        waiting = self._waiting.get(queue)
        return waiting is not None and any(one.due_at <= self._clock.now() for one in waiting)

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue, those held left out."""
        return len(self._waiting[queue])

    def waiting(self) -> list[Delivery]:
        """Return what waits, queue by queue."""
        return [delivery for queue in sorted(self._waiting) for delivery in self._waiting[queue]]

    def held(self) -> list[Delivery]:
        """Return what is held."""
        return [one.delivery for one in self._held.values()]

    def lose(self, delivery: Delivery) -> None:
        """Lose a message that waits."""
        self._waiting[delivery.queue] = [one for one in self._waiting[delivery.queue] if one is not delivery]

    def repeat(self, delivery: Delivery) -> None:
        """Deliver a message once more."""
        self.send(delivery.queue, delivery.body)

    def reorder(self, queue: str, order: Sequence[Delivery]) -> None:
        """Put a queue into another order."""
        self._waiting[queue] = list(order)

    def clear(self) -> None:
        """Lose everything, as an empty Redis that takes the place of the former."""
        self._waiting.clear()
        self._held.clear()
        self._silent.clear()


class BrokerQueue:
    """A `TaskQueue` that sends what `CeleryTaskQueue` sends: the same messages, as JSON data."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def extract(self, document: DocumentRef, *, front: bool = False) -> None:
        """Ask for the text of an operation's bytes."""
        self._send("extract", ExtractDocument(document=document), front=front)

    def index(self, documents: Sequence[DocumentRef], *, front: bool = False) -> None:
        """Ask for operations to be chunked, embedded and committed."""
        self._send("index", IndexDocuments(documents=tuple(documents)), front=front)

    def remake(self, collection: str, index: str, keys: Sequence[str]) -> None:
        """Ask for documents of a collection, by key, to be made in another of its indices."""
        message = RemakeDocuments(collection=collection, index=index, keys=tuple(keys))
        self._broker.send("index", message.model_dump(mode="json"))

    def retrieve(self, job_id: str, *, front: bool = False) -> None:
        """Ask for a job's candidates."""
        self._send("retrieve", RunQuery(job_id=job_id), front=front)

    def rerank(self, job_id: str, *, delay: float = 0.0, front: bool = False, **told: Any) -> None:
        """Ask for a job's candidates to be scored and judged; what else is told travels in the message."""
        self._send("rerank", RerankCandidates(job_id=job_id, **told), delay=delay, front=front)

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return self._broker.length(queue)

    def _send(self, queue: str, message: Versioned, *, front: bool, delay: float = 0.0) -> None:
        self._broker.send(queue, message.model_dump(mode="json"), delay=delay, front=front)
