"""Request ids: taken from the caller or made here, in every answer and every log line."""

import re
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

HEADER: Final = "X-Request-Id"
ALLOWED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """ASGI middleware: gives each request its id, and binds it to the log lines of its work."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request under its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = HTTPConnection(scope).headers.get(HEADER, "")
        request_id = given if ALLOWED.fullmatch(given) else str(ULID())
        scope.setdefault("state", {})["request_id"] = request_id

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, with_id)


def request_id_of(connection: HTTPConnection) -> str:
    """Return the id of a request."""
    return str(getattr(connection.state, "request_id", ""))
