"""A gate before a real server: open, it passes everything on; shut, connections end at once."""

import asyncio
from contextlib import suppress
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import urlsplit


class Gate:
    """Listens on a port of its own and stands before the server at `url`. Use it as a context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._loop = asyncio.new_event_loop()
        self._open = True
        self._passing: set[asyncio.StreamWriter] = set()
        self._ready = Event()
        self._thread = Thread(target=self._serve, name="gate", daemon=True)
        self.url = ""

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

    def _cut(self) -> None:
        for writer in self._passing:
            writer.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._pass, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
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
        self._passing |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._passing -= {writer, far_writer}


async def _pump(source: asyncio.StreamReader, sink: Any) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()
