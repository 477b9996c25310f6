"""Sending requests to a gateway: bounded in time, and tried again when that is safe and may help.

Most requests may be sent twice: documents and choices are recognised when they come again, and questions carry an
Idempotency-Key. The others are sent again only when it is sure that the first one changed nothing.
"""

import asyncio
import time
from dataclasses import replace
from typing import Final

import httpx

from second_opinion import __version__
from second_opinion.gateway.remote.requests import (
    GatewayRequest,
    base_url,
    error_of,
    may_have_arrived,
    pause_before_retry,
    unreachable,
)
from second_opinion.schemas.errors import InvalidRequest, OpinionError

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
PATIENCE_SECONDS: Final = 15.0
"""For how long a request that failed for a reason that may pass is tried again."""
STRANGER_SECONDS: Final = 2.0
"""The same for a gateway that has never answered: its address is more likely wrong than it is away."""
CONNECTIONS: Final = 100
AGENT: Final = f"second-opinion/{__version__}"


class Connection:
    """One gateway. Any number of threads may use it.

    Args:
        url: Where it listens.
        key: The API key, if it needs one.

    Raises:
        InvalidRequest: If the URL is none.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self._url = base_url(url)
        self._known = False
        self._http = httpx.Client(base_url=self._url, headers=_headers(key), timeout=_timeout(0), limits=_limits())

    def ask(self, request: GatewayRequest, *, until: float | None = None) -> httpx.Response:
        """Send a request and return its answer.

        Args:
            request: What to send.
            until: The moment, of the monotonic clock, up to which to try; some seconds from now when left out.

        Raises:
            GatewayUnavailable: If the gateway cannot be reached, or does not answer.
            OpinionError: What the gateway tells, as the class that was raised there.
        """
        tries = _Tries(self._url, request, until, known=self._known)
        while True:
            try:
                response = self._http.send(tries.next(self._http))
            except (httpx.HTTPError, RuntimeError) as broke:
                failure: Exception = broke
            else:
                self._known = True
                if response.is_success:
                    return response
                failure = error_of(response)
            time.sleep(tries.pause_after(failure))

    def close(self) -> None:
        """Close the connections; calls that come later fail as unavailable."""
        self._http.close()


class AsyncConnection:
    """The same for asyncio."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = base_url(url)
        self._known = False
        self._http = httpx.AsyncClient(base_url=self._url, headers=_headers(key), timeout=_timeout(0), limits=_limits())

    async def ask(self, request: GatewayRequest, *, until: float | None = None) -> httpx.Response:
        """Send a request and return its answer.

        Raises:
            OpinionError: As the other connection does.
        """
        tries = _Tries(self._url, request, until, known=self._known)
        while True:
            try:
                response = await self._http.send(tries.next(self._http))
            except (httpx.HTTPError, RuntimeError) as broke:
                failure: Exception = broke
            else:
                self._known = True
                if response.is_success:
                    return response
                failure = error_of(response)
            await asyncio.sleep(tries.pause_after(failure))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class _Tries:
    """The tries of one request: what is sent, and how long to pause after one that failed.

    Args:
        url: The gateway.
        request: What to send.
        until: The moment, of the monotonic clock, up to which to try; some seconds from now when left out.
        known: The gateway has answered before.
    """

    def __init__(self, url: httpx.URL, request: GatewayRequest, until: float | None, *, known: bool) -> None:
        self._url = url
        self._request = request
        self._until = until
        patience = time.monotonic() + (PATIENCE_SECONDS if known else STRANGER_SECONDS)
        self._trying = until if until is not None and known else patience
        self._attempt = 0

    def next(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Return the request as it is sent now: a later try is kept open no longer than there is time."""
        self._attempt += 1
        request = self._request
        if self._until is not None:
            request = replace(request, wait=min(request.wait, max(0, int(self._until - time.monotonic()))))
        return http.build_request(
            request.method,
            request.path,
            params=request.parameters,
            content=request.content,
            headers=request.all_headers,
            timeout=_timeout(request.wait),
        )

    def pause_after(self, failure: Exception) -> float:
        """Return the seconds to pause after a try that failed so, or raise what it means."""
        problem, again = self._meaning(failure)
        pause = pause_before_retry(self._attempt, problem, self._trying - time.monotonic()) if again else None
        if pause is None:
            raise problem
        return pause

    def _meaning(self, failure: Exception) -> tuple[OpinionError, bool]:
        """Return our error for a failure, and whether the request may be sent again after it."""
        if isinstance(failure, OpinionError):
            return failure, True
        if isinstance(failure, httpx.HTTPError):
            return unreachable(self._url, failure), self._request.repeatable or not may_have_arrived(failure)
        return InvalidRequest("this client is closed", hint="Open another one."), False


def _headers(key: str | None) -> dict[str, str]:
    return {"User-Agent": AGENT, "Accept": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}


def _timeout(wait: int) -> httpx.Timeout:
    return httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, read=ANSWER_SECONDS + wait)


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS)
