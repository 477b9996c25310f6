"""The gateway as a process: uvicorn, started, told to stop, and seen to be alive."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI

from second_opinion.gateway.http.access import is_loopback
from second_opinion.gateway.http.app import make_app
from second_opinion.gateway.http.context import Gateway
from second_opinion.schemas.errors import InvalidRequest, OpinionError, PortInUse
from second_opinion.workers.logs import configure_logging
from second_opinion.workers.settings import Settings
from second_opinion.workers.watchdog import touch

log = structlog.get_logger(__name__)

BEAT_SECONDS: Final = 5.0
KEEP_ALIVE_SECONDS: Final = 20
CONNECTIONS: Final = 1_000
"""Beyond so many at once uvicorn answers 503 by itself: waiting callers hold one each."""
SILENT_SECONDS: Final = 40.0
"""How long a connection may be open without a whole request; above `KEEP_ALIVE_SECONDS`."""
BACKLOG: Final = 512


def serve(settings: Settings, *, listening: Callable[[str], object] = lambda _url: None) -> None:
    """Run the gateway until it is told to stop. Callers that wait hear of it then; what has begun may end.

    Args:
        settings: Where the servers are, and the gateway's own choices.
        listening: Called with the URL once requests are taken.

    Raises:
        InvalidRequest: If it would be open to other machines while there is no key.
        PortInUse: If the address cannot be had.
    """
    configure_logging(settings)
    app = make_app(settings)
    require_keys(app.state.gateway)
    listener = _bind(settings)
    # Describing everything takes a second, for which the first who asks would keep all others waiting.
    app.openapi()
    make_server(app, lambda: listening(url_of(listener))).run(sockets=[listener])


def make_server(app: FastAPI, listening: Callable[[], object]) -> uvicorn.Server:
    """Return the server of an application; `listening` is called once it takes requests."""
    held: Gateway = app.state.gateway
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            # The address of a caller decides whether they are let in, so nobody may write it into a header.
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, int(held.settings.shutdown_grace_seconds)),
            limit_concurrency=CONNECTIONS,
            backlog=BACKLOG,
        ),
        held,
        listening,
    )


def require_keys(held: Gateway) -> None:
    """Refuse to listen to other machines while anybody would have to be turned away, or worse, let in.

    Raises:
        InvalidRequest: If the address is not loopback and there is no key.
    """
    settings = held.settings
    if is_loopback(settings.gateway_host) or settings.gateway_require_keys:
        return
    try:
        found = held.parts.api_keys.listed()
    except OpinionError as problem:
        # Nobody comes in without a key there; to look for one now is only a courtesy.
        log.warning("keys_not_known", code=problem.code, error=problem.message)
        return
    if not any(key.revoked_at is None for key in found):
        raise InvalidRequest(
            f"the gateway would listen on {settings.gateway_host}, for other machines too, and there is no API key",
            hint="Make one first: opinion keys create NAME --scope query --collection COLLECTION; "
            "or stay on 127.0.0.1; or start it closed with --require-keys.",
        )


def url_of(listener: socket.socket) -> str:
    """Return where a socket listens, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind(settings: Settings) -> socket.socket:
    """Return the socket to listen on: bound before anything is said to run."""
    host, port = settings.gateway_host, settings.gateway_port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as problem:
        raise PortInUse(
            f"the gateway cannot listen on {host} port {port}: {problem.strerror or problem}",
            hint="Stop what listens there, or choose another port: opinion serve --port 0 picks a free one.",
        ) from problem
    listener.set_inheritable(True)
    return listener


class _Server(uvicorn.Server):
    """A uvicorn that tells waiting callers of its end, and a ready file of its life."""

    def __init__(self, config: uvicorn.Config, held: Gateway, listening: Callable[[], object]) -> None:
        super().__init__(config)
        self._held = held
        self._listening = listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beats: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take requests, and say so."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        if self.started:
            self._listening()
            self._beats.append(asyncio.create_task(self._close_silent()))
            ready_file = self._held.settings.ready_file
            if ready_file is not None:
                self._beats.append(asyncio.create_task(_keep_fresh(ready_file)))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's form
        """Begin to stop, and end well; a second signal does not wait any longer."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._held.waiting.stop)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking requests and let those that have begun end."""
        for beat in self._beats:
            beat.cancel()
        await super().shutdown(sockets)
        ready_file = self._held.settings.ready_file
        if ready_file is not None:
            with suppress(OSError):
                await asyncio.to_thread(ready_file.unlink, missing_ok=True)

    async def _close_silent(self) -> None:
        """Close connections on which no request is whole for long: uvicorn waits for ever for the end of a header."""
        seen: dict[Any, tuple[Any, float]] = {}
        while True:
            await asyncio.sleep(SILENT_SECONDS / 4)
            now, before = asyncio.get_running_loop().time(), seen
            seen = {}
            for connection in list(self.server_state.connections):
                request = getattr(connection, "cycle", None)
                if request is not None and not request.response_complete:
                    continue
                # The last whole request is the same as before, or there was none: nothing came in between.
                last, since = before.get(connection, (request, now))
                seen[connection] = (request, since if last is request else now)
                if now - seen[connection][1] >= SILENT_SECONDS:
                    connection.transport.close()


async def _keep_fresh(ready_file: Path) -> None:
    """Touch the file from the loop that answers, so that it ages when that is stuck."""
    while True:
        touch(ready_file)
        await asyncio.sleep(BEAT_SECONDS)
