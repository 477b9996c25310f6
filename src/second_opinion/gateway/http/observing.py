"""One log line and the figures of each request."""

import time
from typing import Final

import structlog
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from second_opinion.gateway.http.metrics import Metrics

log = structlog.get_logger(__name__)

QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
CLIENT_LEFT: Final = 499
"""As proxies count it: the caller left before there was an answer."""
BROKEN: Final = 500


class Observing:
    """ASGI middleware: counts and logs requests by their route, never by what callers put into a path.

    Args:
        app: What is observed.
        metrics: Where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), CLIENT_LEFT

        async def noticing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.in_progress.inc()
        try:
            await self._app(scope, receive, noticing)
        except Exception:
            status = BROKEN
            raise
        finally:
            self._metrics.in_progress.dec()
            seconds = time.perf_counter() - began
            route = route_of(scope)
            self._metrics.count(scope["method"], route, status, seconds)
            tell = log.debug if route in QUIET else log.info
            tell("request", **_facts(scope, route), status=status, milliseconds=round(seconds * 1_000, 1))


def route_of(scope: Scope) -> str:
    """Return the template of the route that took a request; `unmatched` if none did."""
    path = getattr(scope.get("route"), "path", None)
    if path is None and "endpoint" in scope and not scope.get("path_params"):
        path = scope["path"]  # a plain route of the framework's, such as that of the description
    return path or "unmatched"


def _facts(scope: Scope, route: str) -> dict[str, str]:
    principal = getattr(HTTPConnection(scope).state, "principal", None)
    client = scope.get("client")
    return {
        "method": scope["method"],
        "route": route,
        "path": scope["path"],
        "key": "" if principal is None else principal.id,
        "client": client[0] if client else "",
    }
