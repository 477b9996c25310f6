"""Circuit breakers and rate limits, shared by all workers through Redis. Without Redis nothing is held back."""

from typing import Any, Final, cast

import structlog
from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import redis_errors, script
from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.pipeline.ports import BreakerState, Clock
from second_opinion.schemas.errors import OpinionError

log = structlog.get_logger(__name__)

THRESHOLD: Final = 5
COOL_DOWN_SECONDS: Final = 30.0
LIVE_MILLISECONDS: Final = 3_600_000
REFUSAL_MILLISECONDS: Final = 86_400_000


class RedisBreaker:
    """Implements `Breaker`.

    Args:
        client: Must decode its replies; its timeout should be short, since every call to a provider waits for it.
        threshold: Failures in a row that open a breaker.
        cool_down: Seconds for which it then lets no call through.
        namespace: First part of every key.
    """

    def __init__(
        self,
        client: Redis,
        *,
        clock: Clock,
        threshold: int = THRESHOLD,
        cool_down: float = COOL_DOWN_SECONDS,
        namespace: str = "opinion",
    ) -> None:
        self._client = client
        self._clock = clock
        self._threshold = threshold
        self._cool_down = cool_down
        self._keys = Keys(namespace)
        self._ask = script(client, "breaker_ask.lua")
        self._failed = script(client, "breaker_failed.lua")
        self._refused = script(client, "breaker_refused.lua")

    def ask(self, name: str) -> float:
        """Return 0.0 when a reranker may be called now, or the seconds until it may."""
        try:
            with redis_errors():
                return float(cast("str", self._ask(keys=[self._keys.breaker(name)], args=self._args())))
        except OpinionError as problem:
            log.warning("breaker_unknown", reranker=name, code=problem.code)
            return 0.0

    def failed(self, name: str) -> None:
        """Count a call that failed and may succeed later."""
        try:
            with redis_errors():
                failures = self._failed(keys=[self._keys.breaker(name)], args=[*self._args(), LIVE_MILLISECONDS])
        except OpinionError as problem:
            log.warning("breaker_unknown", reranker=name, code=problem.code)
        else:
            if failures == self._threshold:
                log.warning("breaker_open", reranker=name, seconds=self._cool_down)

    def refused(self, name: str, told: str) -> None:
        """Remember a refusal and what was said, for a day or until a call succeeds; forget the failures before it."""
        try:
            with redis_errors():
                self._refused(keys=[self._keys.breaker(name)], args=[told, REFUSAL_MILLISECONDS])
        except OpinionError as problem:
            log.warning("breaker_unknown", reranker=name, code=problem.code)

    def succeeded(self, name: str) -> None:
        """Forget the failures, and the refusal."""
        try:
            with redis_errors():
                self._client.delete(self._keys.breaker(name))
        except OpinionError as problem:
            log.warning("breaker_unknown", reranker=name, code=problem.code)

    def state(self, name: str) -> BreakerState:
        """Return how the breaker of a reranker stands; closed when Redis cannot tell."""
        try:
            with redis_errors():
                kept = cast("dict[str, Any]", self._client.hgetall(self._keys.breaker(name)))
        except OpinionError:
            return BreakerState("closed")
        failures, refusal = int(kept.get("failures", 0)), str(kept.get("refusal", ""))
        if failures < self._threshold:
            return BreakerState("closed", failures, refusal=refusal)
        left = float(kept.get("retry_at", 0.0)) - self._clock.now()
        return BreakerState("open" if left > 0.0 else "half-open", failures, max(0.0, left), refusal)

    def _args(self) -> list[str]:
        return [repr(self._clock.now()), str(self._threshold), repr(self._cool_down)]


class RedisRateLimit:
    """Implements `RateLimit`: a bucket for each name, filled evenly, that holds one minute's calls.

    Args:
        client: Must decode its replies.
        namespace: First part of every key.
    """

    def __init__(self, client: Redis, *, clock: Clock, namespace: str = "opinion") -> None:
        self._clock = clock
        self._keys = Keys(namespace)
        self._take = script(client, "rate_take.lua")

    def take(self, name: str, per_minute: float) -> float:
        """Take one call and return 0.0, or return the seconds until one can be taken."""
        try:
            with redis_errors():
                args = [repr(self._clock.now()), repr(per_minute)]
                return float(cast("str", self._take(keys=[self._keys.rate(name)], args=args)))
        except OpinionError as problem:
            log.warning("rate_unknown", reranker=name, code=problem.code)
            return 0.0
