"""One way to connect to Redis, and one place where its errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Final

from redis import Redis
from redis import exceptions as driver
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from second_opinion.pipeline.adapters.redis.timed import TIMED, TimedPool, TimedRedis
from second_opinion.schemas.errors import InternalError, JobStoreUnavailable, OpinionError

MAX_CONNECTIONS: Final = 32
HEALTH_CHECK_SECONDS: Final = 10

DRIVER_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(kind for kind in vars(driver).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    OSError,
)
"""Everything that the driver raises. Not all of its errors share a base, so its whole module is taken."""

_OUTSIDE: Final = (driver.RedisError, driver.RedisClusterException, OSError)
_DEFECTS: Final = (driver.DataError, driver.PubSubError, driver.NoScriptError)
_DEFECT_REPLIES: Final = ("WRONGTYPE", "EXECABORT")
_ACCESS: Final = (driver.AuthenticationError, driver.AuthorizationError, driver.NoPermissionError)
_ACCESS_REPLIES: Final = ("NOAUTH", "NOPERM", "WRONGPASS")


def connect(url: str, *, timeout: float, decode: bool = True) -> Redis:
    """Return a client. Nothing is connected before its first command; it may be used from many threads.

    Args:
        url: Redis database, such as `redis://127.0.0.1:6379/1`.
        timeout: Seconds that a command may take: a free connection of the pool, connecting, and the reply.
        decode: Whether values are text; False for those that are compressed.
    """
    pool = TimedPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_SECONDS,
        decode_responses=decode,
        # One more try on a connection that the server has closed in the meantime; a timeout is not waited for twice.
        retry=Retry(NoBackoff(), 1, supported_errors=(driver.ConnectionError,)),
    )
    pool.connection_class = TIMED.get(pool.connection_class, pool.connection_class)
    return TimedRedis(connection_pool=pool)


def script(client: Redis, name: str) -> Script:
    """Return the script that a file of this folder holds; its name ends in `.lua`."""
    return client.register_script((files(__package__) / name).read_text(encoding="utf-8"))


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise the driver's errors as ours."""
    try:
        yield
    except DRIVER_ERRORS as problem:
        raise mapped(problem) from problem


def mapped(problem: Exception) -> OpinionError:
    """Return what an error of the driver is to us.

    What a moment can cure (no connection, no answer, loading, read-only, out of memory, a reply of that kind) is
    `JobStoreUnavailable`; what only a change of our code or keys can is `InternalError`.
    """
    reply = str(problem).split(" ", 1)[0]
    if isinstance(problem, _ACCESS) or reply in _ACCESS_REPLIES:
        return JobStoreUnavailable(
            f"Redis refuses access: {problem}", hint="Check user and password in OPINION_JOBS_URL."
        )
    if isinstance(problem, _DEFECTS) or not isinstance(problem, _OUTSIDE) or reply in _DEFECT_REPLIES:
        return InternalError(f"Redis does not understand a command: {type(problem).__name__}: {problem}")
    return JobStoreUnavailable(f"Redis does not keep jobs right now: {type(problem).__name__}: {problem}")
