"""Callers that wait: how many there are, and how they hear that the gateway is being stopped."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from second_opinion.schemas.errors import GatewayStopping

T = TypeVar("T")


class Waiting:
    """Counts those who wait, and lets all of them go at once.

    Attributes:
        count: How many wait now.
        stopping: Whether the gateway is being stopped.
    """

    def __init__(self) -> None:
        self.count = 0
        self.stopping = False
        self._waits: set[asyncio.Future[None]] = set()

    async def until(self, awaited: Awaitable[T]) -> T:
        """Await something; whoever leaves, or is sent away, cancels it.

        Raises:
            GatewayStopping: If the gateway is stopped before it is there.
        """
        work: asyncio.Future[T] = asyncio.ensure_future(awaited)
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits.add(told)
        self.count += 1
        try:
            if self.stopping:
                told.set_result(None)
            either: set[asyncio.Future[Any]] = {work, told}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            raise GatewayStopping("the gateway is being stopped; what was submitted goes on")
        finally:
            self.count -= 1
            self._waits.discard(told)
            told.cancel()
            if not work.done():
                work.cancel()

    def stop(self) -> None:
        """Send everybody away who waits now or comes later; called in the event loop."""
        self.stopping = True
        for told in self._waits:
            if not told.done():
                told.set_result(None)
