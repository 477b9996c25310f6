"""Documents as JSON lines, streamed both ways: each line in becomes a receipt out, in order, within bounded memory."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from second_opinion.gateway.batching import BATCH_BYTES, BATCH_DOCUMENTS
from second_opinion.schemas.document import AcceptOutcome, Receipt
from second_opinion.schemas.errors import DocumentTooLarge, InvalidRequest, OpinionError

MEDIA_TYPE: Final = "application/x-ndjson"
IDLE_SECONDS: Final = 0.05
"""After so long without another byte the lines that came are taken in, as their sender may wait for the receipts."""
SPOOL_BYTES: Final = 8 * 1024 * 1024
"""Receipts that are kept for a caller who does not read them yet; then no more lines are read."""
STALL_SECONDS: Final = 120.0
"""How long a caller who reads nothing is waited for; the connection is then broken off."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number from 1, and the object that it holds, or why it holds none.

    Attributes:
        size: Bytes that it takes.
    """

    number: int
    size: int = 0
    payload: dict[str, Any] = field(default_factory=dict)
    problem: OpinionError | None = None


Until = Callable[[Awaitable[Message]], Awaitable[Message]]
Accept = Callable[[Sequence[Line]], Awaitable[list[Receipt]]]


class ReceiptStream(Response):
    """Reads documents while it sends receipts. Whoever sends much has to read meanwhile.

    Args:
        accept: Takes lines in and returns a receipt for each, in order.
        longest: Most bytes of a line.
        until: Awaits what may take long; raises what ends the stream.
    """

    media_type = MEDIA_TYPE

    def __init__(self, accept: Accept, *, longest: int, until: Until) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._accept = accept
        self._longest = longest
        self._until = until

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the framework's form
        """Answer one request."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        spool = _Spool()
        taking = asyncio.create_task(self._take(receive, spool))
        try:
            async for part in spool.parts():
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await taking
        finally:
            taking.cancel()
            with suppress(asyncio.CancelledError):
                await taking
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _take(self, receive: Receive, spool: "_Spool") -> None:
        lines = Lines(self._longest)

        async def patiently() -> Message:
            return await self._until(receive())

        try:
            async with aclosing(groups(patiently, lines)) as found:
                async for group in found:
                    await spool.put(b"".join(map(_told, await self._accept(group))))
        except OpinionError as problem:
            await spool.put(_told(rejected(lines.number + 1, problem)))
        finally:
            spool.end()


class Lines:
    """Bytes to lines. A line that is too long is not held, only counted.

    Attributes:
        number: How many lines there were.
    """

    def __init__(self, longest: int) -> None:
        self.number = 0
        self._longest = longest
        self._begun = bytearray()
        self._skipped = 0

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that end in these bytes; empty ones are counted and left out."""
        *ends, rest = data.split(b"\n")
        found = []
        for end in ends:
            self._hold(end)
            found += self._line()
        self._hold(rest)
        return found

    def last(self) -> list[Line]:
        """Return the line that the body ended in the middle of."""
        return self._line() if self._begun or self._skipped else []

    def _hold(self, part: bytes) -> None:
        if self._skipped or len(self._begun) + len(part) > self._longest:
            self._skipped += len(self._begun) + len(part)
            self._begun.clear()
        else:
            self._begun += part

    def _line(self) -> list[Line]:
        self.number += 1
        text, skipped = bytes(self._begun).strip(), self._skipped
        self._begun.clear()
        self._skipped = 0
        if skipped:
            told = f"it has {skipped:,} bytes; the limit is {self._longest:,}"
            return [Line(self.number, problem=DocumentTooLarge(told))]
        return [_parsed(self.number, text)] if text else []


async def groups(receive: Receive, lines: Lines) -> AsyncGenerator[list[Line]]:
    """Yield what has come, as many lines at a time as one request carries well; at once when the sender pauses."""
    group: list[Line] = []
    coming: asyncio.Future[Message] | None = None
    more = True
    try:
        while more:
            coming = coming or asyncio.ensure_future(receive())
            done, _ = await asyncio.wait({coming}, timeout=IDLE_SECONDS if group else None)
            if not done:
                yield group
                group = []
                continue
            arrived, coming = coming, None
            if arrived.exception() is not None and group:
                yield group
            message = arrived.result()
            if message["type"] == "http.disconnect":
                return
            group += lines.feed(message.get("body", b""))
            more = message.get("more_body", False)
            while _enough(group):
                part, group = _split(group)
                yield part
        group += lines.last()
        while group:
            part, group = _split(group)
            yield part
    finally:
        if coming is not None:
            coming.cancel()


def rejected(number: int, problem: OpinionError, *, collection: str = "", document_id: str = "") -> Receipt:
    """Return the receipt of a line that was not taken in."""
    info = problem.info()
    told = info.model_copy(update={"message": f"line {number}: {info.message}"})
    return Receipt(collection=collection, document_id=document_id, outcome=AcceptOutcome.REJECTED, error=told)


class _Spool:
    """Receipts on their way to a caller: one task puts them in, another takes them out."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, part: bytes) -> None:
        """Hand receipts over, once there is room."""
        while self._held >= SPOOL_BYTES:
            self._room.clear()
            await self._room.wait()
        self._parts.append(part)
        self._held += len(part)
        self._news.set()

    def end(self) -> None:
        """Say that nothing more comes."""
        self._ended = True
        self._news.set()

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield what was handed over, until the end."""
        while self._parts or not self._ended:
            await self._news.wait()
            self._news.clear()
            part = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
            self._room.set()
            if part:
                yield part


def _enough(group: Sequence[Line]) -> bool:
    return len(group) >= BATCH_DOCUMENTS or sum(line.size for line in group) >= BATCH_BYTES


def _split(group: list[Line]) -> tuple[list[Line], list[Line]]:
    size = 0
    for place, line in enumerate(group):
        size += line.size
        if place and (place >= BATCH_DOCUMENTS or size > BATCH_BYTES):
            return group[:place], group[place:]
    return group, []


def _parsed(number: int, text: bytes) -> Line:
    try:
        payload = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as problem:
        return Line(number, problem=InvalidRequest(f"it is no UTF-8: {problem.reason} at byte {problem.start}"))
    except (ValueError, RecursionError) as problem:
        return Line(number, problem=InvalidRequest(f"it is no JSON: {problem}", hint="Send one JSON object a line."))
    if not isinstance(payload, dict):
        return Line(number, problem=InvalidRequest("it is no object", hint="Send one JSON object a line."))
    return Line(number, len(text), payload)


def _told(receipt: Receipt) -> bytes:
    return receipt.model_dump_json().encode() + b"\n"
