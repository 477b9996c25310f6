"""How much, how slowly and how often a caller may send."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from second_opinion.gateway.http.access import is_public, principal_of
from second_opinion.gateway.http.context import gateway
from second_opinion.schemas.errors import BodyTooLarge, BodyTooSlow, OpinionError, RateLimited

SILENCE_SECONDS: Final = 30.0
"""How long a caller may send nothing in the middle of a body."""
STREAMED: Final = frozenset({"/v1/documents/batch"})
"""Bodies without an end of their own: what reads them bounds each line and holds only a few."""
BURST: Final = 10
"""A key may use up the requests of so many seconds at once."""


class BodyLimits:
    """ASGI middleware: ends bodies that are too large, announced or not, and those that no longer come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        limit = None if scope["path"] in STREAMED else gateway(connection).settings.gateway_max_body_bytes
        announced = connection.headers.get("content-length", "")
        if limit is not None and announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        body, begun = _Body(receive, limit), False

        async def honest(message: Message) -> None:
            # The framework turns whatever ends a body into a vague answer of its own, which nobody is to see.
            nonlocal begun
            if body.problem is None or begun:
                begun = True
                await send(message)

        await self._app(scope, body.receive, honest)
        if body.problem is not None and not begun:
            raise body.problem


class _Body:
    """A request's body on its way in.

    Attributes:
        problem: Why it was ended.
    """

    def __init__(self, receive: Receive, limit: int | None) -> None:
        self.problem: OpinionError | None = None
        self._receive = receive
        self._limit = limit
        self._size = 0
        self._whole = False

    async def receive(self) -> Message:
        """Return the next part.

        Raises:
            BodyTooLarge: If there is too much of it.
            BodyTooSlow: If it does not come.
        """
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await self._receive()
        except TimeoutError as problem:
            self.problem = BodyTooSlow(f"nothing of the body came for {SILENCE_SECONDS:.0f} seconds")
            raise self.problem from problem
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._limit is not None and self._size > self._limit:
            self.problem = _too_large(self._limit)
            raise self.problem
        return message


@dataclass(slots=True)
class Bucket:
    """Requests that a key may still make, and when (in seconds of a clock that only goes forward) that was so."""

    tokens: float
    at: float


class RateLimit:
    """A token bucket for each key, in this process alone: a second gateway counts for itself.

    Args:
        per_minute: Requests a minute.
        now: Seconds of a clock that only goes forward.
    """

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._rate = per_minute / 60.0
        self._room = max(1.0, self._rate * BURST)
        self._now = now
        self._buckets: dict[str, Bucket] = {}

    def take(self, key: str) -> None:
        """Count one request.

        Raises:
            RateLimited: If none is left; it says when there will be one.
        """
        now = self._now()
        bucket = self._buckets.setdefault(key, Bucket(self._room, now))
        bucket.tokens = min(self._room, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1.0:
            raise RateLimited(
                f"this key may make {self._rate * 60:.0f} requests a minute",
                retry_after=(1.0 - bucket.tokens) / self._rate,
            )
        bucket.tokens -= 1.0


class RateLimits:
    """ASGI middleware: holds each key to its rate; behind the door, so that keys are known ones."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limit: RateLimit | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not is_public(scope["path"]):
            connection = HTTPConnection(scope)
            per_minute = gateway(connection).settings.gateway_requests_per_minute
            if per_minute:
                self._limit = self._limit or RateLimit(per_minute, asyncio.get_running_loop().time)
                self._limit.take(principal_of(connection).id)
        await self._app(scope, receive, send)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit:,} bytes")
