"""The driver with a limit that holds: for a command with its tries and its connecting, for a reply that trickles in."""

from functools import partial
from typing import Any, Final

import redis
from redis import exceptions as driver
from redis.client import Pipeline

from second_opinion.pipeline.adapters.socket_limits import ended_after
from second_opinion.pipeline.time_budget import left, within

LEAST_SECONDS: Final = 0.001
"""A timeout of 0 would mean something else to a socket."""


class _Timed:
    """Ends a connection when a reply is not there, whole, in time. Mixed into the driver's connections."""

    _socket_timeout: float | None
    _socket_connect_timeout: float | None
    _sock: Any

    @property
    def socket_connect_timeout(self) -> float | None:
        """Seconds that connecting may take now."""
        most = self._socket_connect_timeout
        return None if most is None else max(LEAST_SECONDS, left(most))

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: float | None) -> None:
        self._socket_connect_timeout = value

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply within the connection's timeout.

        Raises:
            TimeoutError: The driver's, if it is not there in time. The connection is closed then.
        """
        read = partial(super().read_response, *args, **options)  # type: ignore[misc] # of what it is mixed into
        if self._socket_timeout is None or "timeout" in options:
            return read()
        with ended_after(left(self._socket_timeout), lambda: self._sock) as exchange:
            try:
                return read()
            except driver.ConnectionError as problem:
                if exchange.is_over:
                    raise driver.TimeoutError("the reply was not there in time") from problem
                raise


class TimedConnection(_Timed, redis.Connection):
    """Over TCP."""


class TimedSslConnection(_Timed, redis.SSLConnection):
    """Over TLS."""


class TimedPool(redis.BlockingConnectionPool):
    """A pool in which nobody waits for a free connection for longer than the command may take."""

    @property
    def timeout(self) -> float:
        """Seconds to wait for a connection now."""
        return left(self._timeout)

    @timeout.setter
    def timeout(self, value: float) -> None:
        self._timeout = value


class TimedRedis(redis.Redis):
    """A client that has one limit, its pool's timeout, for all that a command or a pipeline takes."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command within the limit."""
        with within(_seconds(self)):
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # untyped in redis

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT002 - redis' form
        """Return a pipeline that is executed within the limit."""
        return _TimedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _TimedPipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT002 - redis' form
        with within(_seconds(self)):
            return super().execute(raise_on_error)


def _seconds(of: redis.Redis) -> float:
    return float(of.connection_pool.connection_kwargs["socket_timeout"])


TIMED: Final[dict[type[Any], type[Any]]] = {redis.Connection: TimedConnection, redis.SSLConnection: TimedSslConnection}
"""What takes the place of the driver's connections."""
