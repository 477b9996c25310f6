"""The driver's transport with a limit that holds: for a request with its tries, and for an answer that trickles in.

And with patience: the driver tries again at once, which helps against a connection that broke. Who asks to wait, such
as an index whose shard is about to start, has to be given the time.
"""

import random
import threading
import time
from collections.abc import Container
from typing import Any, Final

import urllib3
from elastic_transport import ApiResponseMeta, ConnectionTimeout, HttpHeaders, NodeConfig, Transport, Urllib3HttpNode
from elastic_transport import ConnectionError as DriverConnectionError
from elastic_transport.client_utils import DEFAULT, DefaultType
from urllib3.connection import HTTPConnection, HTTPSConnection

from second_opinion.pipeline.adapters.socket_limits import ended_after
from second_opinion.pipeline.time_budget import left, within

NEVER: Final = 86_400.0
BODILESS: Final = frozenset({204, 304})
PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
PAUSE_SPREAD: Final = 0.25

_here = threading.local()


class _InUse:
    """The connection of the request that a thread performs, and its socket, which the connection lets go of first."""

    def __init__(self) -> None:
        self.connection: HTTPConnection | None = None
        self.socket: Any = None

    def find(self) -> Any:
        return self.socket or (self.connection and self.connection.sock)


class TimedTransport(Transport):
    """Counts all tries of a request against its one limit, and pauses before it asks again who asked to wait."""

    def perform_request(self, *args: Any, retry_on_status: Any = DEFAULT, **options: Any) -> Any:
        """Perform a request within its `request_timeout`.

        One that may be tried again (`max_retries`) is, after each of `PAUSES` that it has time for, while the answer's
        status is one of `retry_on_status`.
        """
        waits: Container[int] = retry_on_status if options.get("max_retries") else ()
        with within(_seconds(options.get("request_timeout"))):
            for pause in map(_spread, PAUSES):
                answer = super().perform_request(*args, retry_on_status=(), **options)
                if answer.meta.status not in waits or left(pause) < pause:
                    return answer
                time.sleep(pause)
            return super().perform_request(*args, retry_on_status=(), **options)


class TimedNode(Urllib3HttpNode):
    """Ends a request at its limit, although bytes of its answer still come."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self.pool.ConnectionCls = _HttpsConnection if config.scheme == "https" else _HttpConnection
        self.pool: Any = _Pool(self.pool)

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> Any:
        """Perform one try of a request.

        Raises:
            ConnectionTimeout: If it is not answered, whole, in time.
            ConnectionError: If the connection ends before.
        """
        seconds = left(_seconds(self.config.request_timeout if request_timeout is DEFAULT else request_timeout))
        if seconds <= 0.0:
            raise ConnectionTimeout("no time was left for the request")
        _here.in_use = in_use = _InUse()
        with ended_after(seconds, in_use.find) as exchange:
            try:
                answer = super().perform_request(method, target, body, headers, request_timeout=seconds)
                _require_whole(answer.meta)
            except DriverConnectionError as problem:
                if exchange.is_over:
                    raise ConnectionTimeout("the answer was not there in time", errors=(problem,)) from problem
                raise
        return answer


class _Pool:
    """A pool of connections in which nobody waits for a free one for longer than their request may take."""

    def __init__(self, pool: urllib3.HTTPConnectionPool) -> None:
        self._pool: Any = pool
        self.close = pool.close

    def urlopen(self, *args: Any, timeout: float, **options: Any) -> Any:
        return self._pool.urlopen(*args, timeout=timeout, pool_timeout=timeout, **options)


class _Noted:
    """A connection that notes that it is in use."""

    def request(self, *args: Any, **options: Any) -> None:
        _here.in_use.connection = self
        super().request(*args, **options)  # type: ignore[misc] # of the connection that it is mixed into

    def getresponse(self) -> Any:
        _here.in_use.socket = self.sock  # type: ignore[attr-defined] # likewise
        return super().getresponse()  # type: ignore[misc] # likewise


class _HttpConnection(_Noted, HTTPConnection):
    pass


class _HttpsConnection(_Noted, HTTPSConnection):
    pass


def _require_whole(meta: ApiResponseMeta) -> None:
    """Refuse an answer whose connection ended among its headers: Python takes that for the end of an empty answer.

    Raises:
        ConnectionError: If it does not say how long it is.
    """
    length = meta.headers.get("content-length") or ""
    says_length = length.isdigit() or "transfer-encoding" in meta.headers
    if not says_length and meta.status not in BODILESS:
        raise DriverConnectionError("the connection ended in the middle of an answer")


def _spread(pause: float) -> float:
    """Return about as long a pause: those who were sent away together do not come back together."""
    return pause * random.uniform(1.0 - PAUSE_SPREAD, 1.0 + PAUSE_SPREAD)  # noqa: S311 - no secret


def _seconds(timeout: DefaultType | float | None) -> float:
    return timeout if isinstance(timeout, int | float) else NEVER
