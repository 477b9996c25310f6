"""A gate before a real server: open, shut, or in any of the ways in which a network fails by halves."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Fault:
    """What a gate does to what passes.

    Attributes:
        delay: Seconds that each piece takes longer, in both directions.
        silent: Nothing passes; what was sent arrives when the fault is over, as after a cut that TCP outlives.
        resets: Connections are reset by the first byte that the server sends.
        limit: After so many bytes of the server's on a connection, it ends.
        close_seconds: Then the caller hears of that end only after so many seconds.
        trickle: Bytes of the server's that pass in a second; a twentieth of them each time.
    """

    delay: float = 0.0
    silent: bool = False
    resets: bool = False
    limit: int | None = None
    close_seconds: float = 0.0
    trickle: int | None = None


FAULTS = {
    "latency": Fault(delay=0.2),
    "cut": Fault(silent=True),
    "reset": Fault(resets=True),
    "slow close": Fault(limit=40, close_seconds=8.0),
    "limited data": Fault(limit=40),
    "trickle": Fault(trickle=20),
}
"""By name. A limit is below the length of any answer that counts."""


@dataclass(eq=False, slots=True)
class _Passing:
    """A connection on its way through: both ends, and the bytes of the server's that have passed."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    passed: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Gate:
    """Listens on a port of its own and stands before the server at `url`. Use it as a context manager.

    Attributes:
        url: Its own address: that of the server, but for host and port.
        suffered: Connections that a fault has done something to.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._target = (self._parts.hostname or "127.0.0.1", self._parts.port or 80)
        self._loop = asyncio.new_event_loop()
        self._open = True
        self._fault: Fault | None = None
        self._over: asyncio.Event | None = None
        self._passing: set[_Passing] = set()
        self._ready = Event()
        self._thread = Thread(target=self._serve, name="gate", daemon=True)
        self.url = ""
        self.suffered = 0

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        """End every connection and listen no more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def shut(self) -> None:
        """End every connection, and all that come."""
        self._open = False
        self._loop.call_soon_threadsafe(self._cut)

    def open(self) -> None:
        """Pass on again."""
        self._open = True

    def suffer(self, fault: Fault | None) -> None:
        """Let a fault begin, for connections that there are and for those that come; None ends it."""
        done = Event()

        def change() -> None:
            if self._over is not None:
                self._over.set()
            self._fault, self._over = fault, None if fault is None else asyncio.Event()
            self.suffered = 0 if fault is not None else self.suffered
            done.set()

        self._loop.call_soon_threadsafe(change)
        done.wait(10)

    def _cut(self) -> None:
        for one in self._passing:
            one.near.close()
            one.far.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._pass, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]
        self.url = self._parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        self._ready.set()
        self._loop.run_forever()
        server.close()
        passing = asyncio.all_tasks(self._loop)
        for task in passing:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*passing, return_exceptions=True))
        self._loop.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        one = _Passing(writer, far_writer)
        self._passing.add(one)
        # Cancelled when the gate goes: Python 3.11 tells that of a connection's task as if it were an error.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._pump(reader, far_writer, self._ask(one)), self._pump(far_reader, writer, self._answer(one))
            )
        self._passing.discard(one)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: "_Way") -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                await way(data)
        sink.close()

    def _ask(self, one: _Passing) -> "_Way":
        async def way(data: bytes) -> None:
            if fault := self._fault:
                self.suffered += 1
                await self._wait(fault)
            one.far.write(data)
            await one.far.drain()

        return way

    def _answer(self, one: _Passing) -> "_Way":
        async def way(data: bytes) -> None:
            if fault := self._fault:
                await self._wait(fault)
                if fault.resets:
                    _reset(one)
                elif fault.limit is not None:
                    await self._end_early(one, data, fault)
                elif fault.trickle is not None:
                    data = await self._trickle(one, data, fault.trickle)
            one.near.write(data)
            await one.near.drain()

        return way

    async def _wait(self, fault: Fault) -> None:
        if fault.silent:
            await self._until_over(None)
        elif fault.delay:
            await self._until_over(fault.delay)

    async def _until_over(self, seconds: float | None) -> bool:
        """Wait for the fault to be over, or for so many seconds; tell whether it is over."""
        if (over := self._over) is None:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), seconds)
            return True
        return False

    async def _end_early(self, one: _Passing, data: bytes, fault: Fault) -> None:
        room = max(0, (fault.limit or 0) - one.passed)
        one.passed += len(data)
        if len(data) <= room:
            return
        one.near.write(data[:room])
        one.far.close()
        if fault.close_seconds:
            await self._until_over(fault.close_seconds)
        raise ConnectionAbortedError

    async def _trickle(self, one: _Passing, data: bytes, rate: int) -> bytes:
        """Pass data a little at a time; return what is left when the fault is over."""
        piece = max(1, rate // 20)
        while data and not await self._until_over(piece / rate):
            one.near.write(data[:piece])
            await one.near.drain()
            data = data[piece:]
        return data


_Way = Callable[[bytes], Coroutine[Any, Any, None]]


def _reset(one: _Passing) -> None:
    """End a connection as a machine does that knows nothing of it."""
    near = one.near.get_extra_info("socket")
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.near.transport.abort()
    one.far.close()
    raise ConnectionResetError
