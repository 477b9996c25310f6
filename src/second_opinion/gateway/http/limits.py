"""How much, how slowly and how often a caller may send."""

import asyncio
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from second_opinion.gateway.http.access import is_public, principal_of
from second_opinion.gateway.http.context import gateway
from second_opinion.gateway.http.rates import RateDesk
from second_opinion.schemas.errors import BodyTooLarge, BodyTooSlow, OpinionError

SILENCE_SECONDS: Final = 30.0
"""How long a caller may send nothing in the middle of a body."""
STREAMED: Final = frozenset({"/v1/documents/batch"})
"""Bodies without an end of their own: what reads them bounds each line and holds only a few."""


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


class RateLimits:
    """ASGI middleware: holds each key to its rate; behind the door, so that keys are known ones."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not is_public(scope["path"]):
            connection = HTTPConnection(scope)
            rates: RateDesk = gateway(connection).more["rates"]
            rates.take(principal_of(connection).id)
        await self._app(scope, receive, send)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit:,} bytes")
