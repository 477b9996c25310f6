"""How often a key may come, over all gateways: each decides by itself, and they tell one another what they let in."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from second_opinion.pipeline.ports import RequestBook
from second_opinion.schemas.errors import RateLimited

BURST: Final = 10
"""A key may use up the requests of so many seconds at once."""
TELL_SECONDS: Final = 0.1
"""How often a gateway tells the others at the most."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Bucket:
    """Requests that a key may still make, and when (in seconds of a clock that only goes forward) that was so."""

    tokens: float
    at: float


class RateLimit:
    """A token bucket for each key. What other gateways let in is taken off once it is heard of, though nothing be left.

    So no request waits for another server, and over time a key makes no more requests than it may.

    Args:
        per_minute: Requests a minute.
        now: Seconds of a clock that only goes forward.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60.0
        self.room: Final = max(1.0, self._rate * BURST)
        self._now = now
        self._buckets: dict[str, Bucket] = {}
        self._used: Counter[str] = Counter()

    def take(self, key: str) -> None:
        """Count one request.

        Raises:
            RateLimited: If none is left; it says when there will be one.
        """
        now = self._now()
        bucket = self._buckets.setdefault(key, Bucket(self.room, now))
        bucket.tokens = min(self.room, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1.0:
            raise RateLimited(
                f"this key may make {self._rate * 60:.0f} requests a minute",
                retry_after=(1.0 - bucket.tokens) / self._rate,
            )
        bucket.tokens -= 1.0
        self._used[key] += 1

    def used(self) -> dict[str, int]:
        """Return what was let in of each key since this was asked last."""
        used, self._used = self._used, Counter()
        return dict(used)

    def settle(self, left: dict[str, float]) -> None:
        """Note what is left of keys over all gateways; what was let in since `used` is not yet in it."""
        now = self._now()
        for key, tokens in left.items():
            self._buckets[key] = Bucket(tokens - self._used[key], now)


class RateDesk:
    """Holds keys to their rate, and shares the count with other gateways. Without Redis each counts for itself.

    Args:
        per_minute: Requests a minute of a key; 0 is without limit.
    """

    def __init__(self, per_minute: int, book: RequestBook) -> None:
        self._per_minute = per_minute
        self._limit = RateLimit(per_minute) if per_minute else None
        self._book = book
        self._news = asyncio.Event()

    def take(self, key: str) -> None:
        """Count one request of a key.

        Raises:
            RateLimited: If none is left; it says when there will be one.
        """
        if self._limit is not None:
            self._limit.take(key)
            self._news.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Share the count for as long as the context lasts."""
        task = asyncio.create_task(self._run(self._limit)) if self._limit is not None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(self._book.close)

    async def _run(self, limit: RateLimit) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._tell(limit)
            except Exception:
                log.exception("requests_not_shared")
            await asyncio.sleep(TELL_SECONDS)

    async def _tell(self, limit: RateLimit) -> None:
        # What cannot be told is let go: told an hour later, it would shut keys out for what was allowed.
        used = limit.used()
        left = await asyncio.to_thread(self._book.spend, used, per_minute=self._per_minute, room=limit.room)
        limit.settle(left)
