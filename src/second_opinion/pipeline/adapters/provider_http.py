"""The HTTP client that providers of rerank scores are asked with, and where its errors become errors of ours."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from second_opinion.schemas.errors import (
    ExtraMissing,
    ModelUnusable,
    OpinionError,
    ProviderAnswerInvalid,
    ProviderRefused,
    RerankUnavailable,
)

try:
    import httpx
except ImportError as problem:
    raise ExtraMissing.of("http", "httpx") from problem

MAX_ANSWER_BYTES: Final = 64 * 2**20
HTTP_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
_URL_HINT: Final = "Name it as http://host:port/path or https://host/path."


def endpoint(url: str) -> httpx.URL:
    """Return the URL of a provider.

    Raises:
        ModelUnusable: If it is none, or carries a password, which would be logged with it.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as problem:
        raise ModelUnusable("the URL of the reranker cannot be read", hint=_URL_HINT) from problem
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ModelUnusable("the URL of the reranker is not that of a web server", hint=_URL_HINT)
    if parsed.userinfo:
        raise ModelUnusable(
            "the URL of the reranker carries a password, which would be written to the log with it",
            hint="Give the key by its own setting.",
        )
    return parsed


def place(url: httpx.URL) -> str:
    """Return host, port and path of a URL: what a provider is known by."""
    port = f":{url.port}" if url.port else ""
    return f"{url.host}{port}{url.path.rstrip('/')}"


def open_client(timeout: float, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """Return a client whose answers are bounded: in size, and in the time from their first line to their last byte.

    Args:
        timeout: Seconds to connect, to send, to wait for a part, and to read the answer.
        headers: Sent with every request.
    """
    return httpx.Client(timeout=timeout, headers=headers, event_hooks={"response": [partial(_bound, seconds=timeout)]})


@contextmanager
def asking(client: httpx.Client, provider: str) -> Iterator[None]:
    """Let the body ask a provider by a client; the driver's errors leave it as errors of ours.

    Raises:
        RerankUnavailable: If the client is closed, or the provider cannot be reached or does not answer.
        ProviderRefused: If it cannot be asked at all.
        ProviderAnswerInvalid: If its answer cannot be read.
    """
    if client.is_closed:
        raise RerankUnavailable(f"the client of {provider} is closed")
    try:
        yield
    except HTTP_ERRORS as problem:
        raise translated(provider, problem) from None


def translated(provider: str, problem: Exception) -> OpinionError:
    """Return our error for one of the driver's; nothing of the request is in it.

    Args:
        provider: How sentences name it.
        problem: One of `HTTP_ERRORS`.
    """
    if isinstance(problem, httpx.TimeoutException):
        return RerankUnavailable(f"{provider} does not answer in time ({type(problem).__name__})")
    if isinstance(problem, (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects)):
        return ProviderRefused(f"{provider} cannot be asked ({type(problem).__name__})", hint=_URL_HINT)
    if isinstance(problem, (httpx.DecodingError, httpx.StreamError)):
        return ProviderAnswerInvalid(f"{provider}'s answer cannot be read ({type(problem).__name__})")
    if isinstance(problem, httpx.ConnectError):
        return RerankUnavailable(f"{provider} cannot be reached", hint="Check that it runs, and the reranker's URL.")
    return RerankUnavailable(f"the connection to {provider} broke ({type(problem).__name__})")


def _bound(response: httpx.Response, *, seconds: float) -> None:
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _BoundedStream(response.stream, seconds=seconds)


class _BoundedStream(httpx.SyncByteStream):
    """An answer's body that ends in time: the driver's own limit begins anew with each byte."""

    def __init__(self, stream: httpx.SyncByteStream, *, seconds: float) -> None:
        self._stream = stream
        self._over = time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        length = 0
        for part in self._stream:
            length += len(part)
            if length > MAX_ANSWER_BYTES:
                raise httpx.DecodingError("the answer is longer than any list of scores")
            if time.monotonic() > self._over:
                raise httpx.ReadTimeout("the answer trickles in")
            yield part

    def close(self) -> None:
        self._stream.close()
