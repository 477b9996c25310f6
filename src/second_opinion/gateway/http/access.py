"""Who may come in: the principal of a request, its scopes and its collections."""

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Self, cast

from fastapi import Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from second_opinion.gateway.http.context import Gateway, gateway
from second_opinion.gateway.http.problems import FORMS
from second_opinion.schemas.access import ALL_COLLECTIONS, SCOPES, ApiKey
from second_opinion.schemas.access import Scope as AccessScope
from second_opinion.schemas.errors import AccessDenied, HostNotAllowed, Unauthenticated, UnknownCollection

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
METRICS: Final = "/metrics"
"""Needs no key on loopback: what scrapes it there is this machine's own."""
LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
PUBLIC: Final = frozenset({"/healthz", "/readyz", "/", "/favicon.ico"})
PUBLIC_FOLDER: Final = "/assets/"
"""The page: it asks for a key itself. Everything else needs one, so a route that is forgotten here is closed."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request.

    Attributes:
        id: The key's id, or `local`.
        name: What people call it.
        scopes: What it may do.
        collections: Where it may do it; `*` is everywhere.
    """

    id: str
    name: str
    scopes: frozenset[AccessScope]
    collections: frozenset[str]

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Return the principal of a key."""
        return cls(key.id, key.name, frozenset(key.scopes), frozenset(key.collections))

    @property
    def sees_all(self) -> bool:
        """Whether it sees every collection, those to come included."""
        return ALL_COLLECTIONS in self.collections

    def may(self, scope: AccessScope) -> bool:
        """Return whether it has a scope; admin implies the others."""
        return scope in self.scopes or "admin" in self.scopes

    def sees(self, collection: str) -> bool:
        """Return whether it may look into a collection."""
        return self.sees_all or collection in self.collections

    def visible(self, collections: Collection[str]) -> list[str]:
        """Return those of these collections that it sees, in their order."""
        return [name for name in collections if self.sees(name)]

    def enter(self, collection: str) -> None:
        """Refuse a collection that it does not see, in the words for one that does not exist.

        Raises:
            UnknownCollection: If it does not see it.
        """
        if not self.sees(collection):
            raise UnknownCollection(f"there is no collection {collection!r}")


LOCAL: Final = Principal("local", "local", frozenset(SCOPES), frozenset({ALL_COLLECTIONS}))


def require(scope: AccessScope) -> Callable[[Request], Awaitable[Principal]]:
    """Return a FastAPI dependency: the request's principal, who must have this scope.

    Raises:
        AccessDenied: If it has not.
    """

    # A coroutine, because the framework runs plain functions in threads.
    async def principal(request: Request) -> Principal:
        found = principal_of(request)
        if not found.may(scope):
            raise AccessDenied(
                f"the key {found.id} does not have the scope {scope!r}",
                hint=f"Use a key with it: opinion keys create NAME --scope {scope}",
            )
        return found

    principal.scope = scope  # type: ignore[attr-defined] # the security test reads what a route asks for
    return principal


def principal_of(connection: HTTPConnection) -> Principal:
    """Return who makes a request. Whoever comes this far was let in."""
    return cast("Principal", connection.state.principal)


class Door:
    """ASGI middleware: lets nobody in without a key, but to the public paths, before a byte of the body is read.

    Args:
        app: What is behind the door.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through as its principal, or raise why not."""
        if scope["type"] == "http":
            connection = HTTPConnection(scope)
            held = gateway(connection)
            check_host(connection, held)
            if not is_public(scope["path"]):
                scope.setdefault("state", {})["principal"] = await _identify(connection, held)
        await self._app(scope, receive, send)


def is_public(path: str) -> bool:
    """Return whether a path needs no key."""
    return path in PUBLIC or path.startswith(PUBLIC_FOLDER)


def is_loopback(host: str) -> bool:
    """Return whether an address or name of this machine is reachable from this machine alone."""
    if host in LOCAL_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(connection: HTTPConnection, held: Gateway) -> None:
    """On loopback, answer to our own names only: a page elsewhere may have its name lead here.

    Raises:
        HostNotAllowed: If the request came by another name, or from a page of another origin.
    """
    if not is_loopback(held.settings.gateway_host):
        return
    host = connection.headers.get("host", "")
    allowed = {name.strip() for name in held.settings.gateway_hosts.split(",")} - {""}
    if (_name(host) or "") not in LOCAL_NAMES | allowed:
        raise HostNotAllowed("this gateway does not answer to that host name")
    origin = connection.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise HostNotAllowed(
            "this gateway takes no requests from pages of another origin", hint="Open its own page instead."
        )


async def _identify(connection: HTTPConnection, held: Gateway) -> Principal:
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    if token:
        key = await held.keys.find(token.strip()) if kind.lower() == "bearer" else None
        if key is not None:
            return Principal.of(key)
        # Programs that were written for another API have to send some key, and send any where none is needed.
        if connection.scope["path"] not in FORMS:
            raise Unauthenticated("a valid API key is needed")
    if _is_near(connection, held) and (connection.scope["path"] == METRICS or await held.keys.is_empty()):
        return LOCAL
    raise Unauthenticated("a valid API key is needed")


def _is_near(connection: HTTPConnection, held: Gateway) -> bool:
    """Return whether a request comes from this machine, to a gateway that listens to nobody else."""
    settings = held.settings
    if settings.gateway_require_keys or not is_loopback(settings.gateway_host):
        return False
    if connection.client is None or not is_loopback(connection.client.host):
        return False
    # What a proxy hands on comes from elsewhere, whatever its address says.
    return not any(name in connection.headers for name in FORWARDED)


def _name(host: str) -> str | None:
    """Return the name in a Host header; None where there is anything in it but a name and a port."""
    found = _HOST.fullmatch(host)
    return None if found is None else found["name"].strip("[]").lower()
