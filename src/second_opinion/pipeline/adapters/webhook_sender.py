"""The way out to webhooks: only to addresses that are the world's, checked on the very address that is connected to.

A name is looked up once, here, and the connection goes to what was checked: a name that leads elsewhere at the second
look (DNS rebinding) gains nothing by it. The certificate is still checked against the name.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpcore

from second_opinion.pipeline.webhooks import is_public
from second_opinion.schemas.errors import WebhookFailed

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
CONNECTIONS: Final = 20
_NO_ANSWER: Final = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    TimeoutError,
)


class HttpWebhookSender:
    """Implements `pipeline.ports.WebhookSender`.

    Args:
        allow_private: Also call addresses of this machine and of private networks.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=CONNECTIONS,
            max_keepalive_connections=0,
            network_backend=GuardedNetwork(allow_private=allow_private),
        )

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send a POST request and return the status; redirects are not followed, the answer is not read."""
        timeouts = {"connect": CONNECT_SECONDS, "read": ANSWER_SECONDS, "write": ANSWER_SECONDS, "pool": ANSWER_SECONDS}
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            async with (
                asyncio.timeout(2 * ANSWER_SECONDS),
                self._pool.stream("POST", url, headers=given, content=body, extensions={"timeout": timeouts}) as answer,
            ):
                return int(answer.status)
        except (*_NO_ANSWER, UnicodeError, ValueError, OSError) as problem:
            raise WebhookFailed(f"{type(problem).__name__}: {problem}".removesuffix(": ")) from problem

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that may be called, and to no other."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's form
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host whose addresses may all be called.

        Raises:
            ConnectError: If it has none, or one of them may not be.
        """
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as problem:
            raise httpcore.ConnectError(f"{host} has no address") from problem
        addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
        if not self._allow_private and not all(map(is_public, addresses)):
            # One that is private among several is how a rebinding name looks.
            raise httpcore.ConnectError(f"{host} leads to an address that is not public")
        return await self._network.connect_tcp(
            str(addresses[0]), port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the library's form
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - likewise
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: a socket of this machine is nobody's webhook."""
        raise httpcore.ConnectError(f"{path} is not public")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
