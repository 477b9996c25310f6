"""How the queues stand: read from Redis and Elasticsearch when somebody asks, never added up from events."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from second_opinion.pipeline.ports import Clock, DocumentStore, JobStore, WorkerRegister
from second_opinion.schemas.errors import UnknownJob
from second_opinion.schemas.queues import QueueFigures
from second_opinion.workers.routing import ROLES

FRESH_SECONDS: Final = 15.0
"""A worker that was seen within so long consumes: it is seen every five seconds."""
PACE_SECONDS: Final = 300.0
"""How far back the pace of a queue is looked for."""
LEAST_SECONDS: Final = 5.0
"""Over less than this a pace says nothing."""


@dataclass(frozen=True, slots=True)
class QueueParts:
    """Where figures are read.

    Attributes:
        length: How many messages wait in a queue.
        front: The payload of the message whose turn is next; None when none waits.
        unreadable: How many items of each queue were no messages.
    """

    length: Callable[[str], int]
    front: Callable[[str], Mapping[str, Any] | None]
    unreadable: Callable[[], Mapping[str, int]]
    workers: WorkerRegister
    jobs: JobStore
    documents: DocumentStore
    clock: Clock


class QueueReader:
    """Reads how the queues stand. Safe to share between threads."""

    def __init__(self, parts: QueueParts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._depths: defaultdict[str, deque[tuple[float, int]]] = defaultdict(deque)

    def figures(self) -> list[QueueFigures]:
        """Return the figures of all queues.

        Raises:
            BrokerUnavailable: If the queues cannot be read.
            JobStoreUnavailable: If the register of workers, or a job, cannot be.
            StoreUnavailable: If a document cannot be.
        """
        unreadable = self._parts.unreadable()
        return [self._of(spec.queue, unreadable.get(spec.queue, 0)) for spec in ROLES.values()]

    def _of(self, queue: str, unreadable: int) -> QueueFigures:
        parts, now = self._parts, self._parts.clock.now()
        depth, seen = parts.length(queue), parts.workers.last_seen(queue)
        front = parts.front(queue) if depth else None
        since = self._since(front) if front is not None else None
        return QueueFigures(
            name=queue,
            depth=depth,
            oldest_seconds=None if since is None else max(0.0, now - since),
            consumers=sum(at >= now - FRESH_SECONDS for at in seen.values()),
            last_seen=max(seen.values(), default=None),
            drain_seconds=self._drain(queue, now, depth),
            unreadable=unreadable,
        )

    def _since(self, message: Mapping[str, Any]) -> float | None:
        """Return since when what a message leads to waits; the message itself does not say."""
        if isinstance(message.get("job_id"), str):
            try:
                job = self._parts.jobs.get(message["job_id"])
            except UnknownJob:
                return None
            return job.progress[-1].at if job.progress else job.submitted_at
        documents = message.get("documents") or [message.get("document")]
        named = documents[0] if isinstance(documents, list) else None
        key = named.get("key") if isinstance(named, Mapping) else None
        seen = self._parts.documents.get([key]).get(key) if isinstance(key, str) else None
        return None if seen is None else seen.record.enqueued_at or seen.record.accepted_at

    def _drain(self, queue: str, now: float, depth: int) -> float | None:
        with self._lock:
            depths = self._depths[queue]
            depths.append((now, depth))
            while depths[0][0] < now - PACE_SECONDS:
                depths.popleft()
            then, before = depths[0]
        if depth == 0:
            return 0.0
        if now - then < LEAST_SECONDS or before <= depth:
            return None
        return depth * (now - then) / (before - depth)
