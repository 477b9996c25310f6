"""The register of workers: a sorted set for each queue. Which keys there are, `keys.py` says."""

from typing import Any, Final, cast

from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import redis_errors
from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.pipeline.ports import Clock

REMEMBERED_SECONDS: Final = 86_400.0


class RedisWorkers:
    """Implements `pipeline.ports.WorkerRegister`.

    Args:
        client: Must decode its replies.
        namespace: First part of every key.
    """

    def __init__(self, client: Redis, *, clock: Clock, namespace: str = "opinion") -> None:
        self._client = client
        self._clock = clock
        self._keys = Keys(namespace)

    def seen(self, queue: str, worker: str) -> None:
        """Note that a worker consumes a queue at this moment."""
        key, now = self._keys.workers(queue), self._clock.now()
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.zadd(key, {worker: now})
            pipe.zremrangebyscore(key, "-inf", f"({now - REMEMBERED_SECONDS!r}")
            pipe.expire(key, int(REMEMBERED_SECONDS))
            pipe.execute()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def last_seen(self, queue: str) -> dict[str, float]:
        """Return when the workers of a queue were last seen (Unix seconds)."""
        since = self._clock.now() - REMEMBERED_SECONDS
        with redis_errors():
            rows: Any = self._client.zrangebyscore(self._keys.workers(queue), since, "+inf", withscores=True)
        return {name: float(at) for name, at in cast("list[tuple[str, float]]", rows)}
