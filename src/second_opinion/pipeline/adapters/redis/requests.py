"""How many requests keys may still make, over all gateways, in Redis."""

from collections.abc import Mapping
from typing import cast

import structlog
from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import redis_errors, script
from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.errors import OpinionError

log = structlog.get_logger(__name__)


class RedisRequestBook:
    """Implements `RequestBook`.

    Args:
        client: Must decode its replies; its timeout should be short.
        namespace: First part of every key.
    """

    def __init__(self, client: Redis, *, clock: Clock, namespace: str = "opinion") -> None:
        self._client = client
        self._clock = clock
        self._keys = Keys(namespace)
        self._spend = script(client, "requests_spend.lua")

    def spend(self, used: Mapping[str, int], *, per_minute: float, room: float) -> dict[str, float]:
        """Take requests off the keys that made them; return what is left of each, nothing when Redis cannot tell."""
        try:
            with redis_errors():
                args = [repr(self._clock.now()), repr(per_minute / 60.0), repr(room), *map(str, used.values())]
                left = cast("list[str]", self._spend(keys=[self._keys.requests(key) for key in used], args=args))
        except OpinionError as problem:
            log.warning("requests_not_shared", code=problem.code)
            return {}
        return {key: float(tokens) for key, tokens in zip(used, left, strict=True)}

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
