"""Admission: callers are asked to come back while the system is full, before it takes on what it cannot hold."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.errors import OpinionError, Overloaded

ASK_SECONDS: Final = 1.0
DOCUMENTS_RETRY_SECONDS: Final = 5.0
QUERIES_RETRY_SECONDS: Final = 2.0
INGEST_QUEUES: Final = ("extract", "index")
QUERY_QUEUES: Final = ("retrieve", "rerank")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait.

    Attributes:
        ingest_messages: Messages that wait to be extracted or indexed.
        query_messages: Messages of queries that wait for a worker.
        memory_share: Share of Redis's memory limit in use, from 0 to 1; a Redis without a limit has no share.
    """

    ingest_messages: int
    query_messages: int
    memory_share: float


class Admission:
    """Tells callers whether there is room. Asks Redis once a second at most; whoever cannot ask lets everything in.

    One caller asks at a time; the others go by what was known before, so that nobody waits behind a slow answer.

    Args:
        length: How many messages wait in a queue.
        memory_share: Share of Redis's memory limit in use; 0 where it has none.
    """

    def __init__(
        self, bounds: Bounds, clock: Clock, *, length: Callable[[str], int], memory_share: Callable[[], float]
    ) -> None:
        self._bounds = bounds
        self._clock = clock
        self._length = length
        self._memory_share = memory_share
        self._lock = threading.Lock()
        self._asked: dict[str, tuple[float, Overloaded | None]] = {}

    def documents(self) -> None:
        """Return if documents can be taken in.

        Raises:
            Overloaded: If too much waits to be indexed, or Redis is nearly full.
        """
        self._check("documents", INGEST_QUEUES, self._bounds.ingest_messages, DOCUMENTS_RETRY_SECONDS)

    def queries(self) -> None:
        """Return if a query can be taken in.

        Raises:
            Overloaded: If too many queries wait for a worker, or Redis is nearly full.
        """
        self._check("queries", QUERY_QUEUES, self._bounds.query_messages, QUERIES_RETRY_SECONDS)

    def _check(self, what: str, queues: tuple[str, ...], most: int, retry_after: float) -> None:
        asked_at, problem = self._asked.get(what, (0.0, None))
        if not 0.0 <= self._clock.now() - asked_at < ASK_SECONDS and self._lock.acquire(blocking=False):
            try:
                problem = self._problem(what, queues, most, retry_after)
                self._asked[what] = (self._clock.now(), problem)
            finally:
                self._lock.release()
        if problem is not None:
            raise Overloaded(problem.message, retry_after=retry_after, hint=problem.hint)

    def _problem(self, what: str, queues: tuple[str, ...], most: int, retry_after: float) -> Overloaded | None:
        try:
            waiting, share = sum(map(self._length, queues)), self._memory_share()
        except OpinionError as problem:
            # What is accepted now is recorded, or refused by whatever is away; that is not ours to say.
            log.info("room_not_known", code=problem.code)
            return None
        if waiting >= most:
            told = f"{waiting:,} messages of {what} wait for workers; no more than {most:,} may"
            hint = f"Send it again in {retry_after:.0f} s; if that lasts, add workers: opinion status"
            return Overloaded(told, retry_after=retry_after, hint=hint)
        if share >= self._bounds.memory_share:
            told = (
                f"Redis uses {share:.0%} of its memory; {what} are taken in again below {self._bounds.memory_share:.0%}"
            )
            hint = f"Send it again in {retry_after:.0f} s; if that lasts, raise Redis's maxmemory"
            return Overloaded(told, retry_after=retry_after, hint=hint)
        return None
