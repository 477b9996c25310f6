"""What rerankers cost by day, in Redis: counted by all workers, read by operators."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import structlog
from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import redis_errors, script
from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.usage import DailyUsage, RerankUsage

log = structlog.get_logger(__name__)

KEPT_DAYS: Final = 400
_AMOUNTS: Final = tuple(RerankUsage.model_fields)


class RedisUsage:
    """Implements `UsageBook`: one hash for each day, with a field for each reranker and amount.

    Args:
        client: Must decode its replies.
        namespace: First part of every key.
    """

    def __init__(self, client: Redis, *, clock: Clock, namespace: str = "opinion") -> None:
        self._client = client
        self._clock = clock
        self._keys = Keys(namespace)
        self._add = script(client, "usage_add.lua")

    def add(self, name: str, usage: RerankUsage) -> None:
        """Add to what a reranker has cost today."""
        amounts = {f"{name}:{amount}": repr(value) for amount in _AMOUNTS if (value := getattr(usage, amount))}
        if not amounts:
            return
        flat = [part for pair in amounts.items() for part in pair]
        try:
            with redis_errors():
                self._add(keys=[self._keys.usage(self._days(1)[0])], args=[KEPT_DAYS * 86_400, *flat])
        except OpinionError as problem:
            log.warning("usage_not_counted", reranker=name, code=problem.code, **usage.model_dump())

    def read(self, days: int) -> list[DailyUsage]:
        """Return what each reranker cost on each of the last days, by day, the latest first, and name.

        Raises:
            JobStoreUnavailable: If Redis does not answer.
        """
        asked = self._days(days)
        with redis_errors():
            reading = self._client.pipeline(transaction=False)
            for day in asked:
                reading.hgetall(self._keys.usage(day))
            kept = cast("list[dict[str, Any]]", reading.execute())
        return [one for day, fields in zip(asked, kept, strict=True) for one in _of_day(day, fields)]

    def _days(self, count: int) -> list[str]:
        today = datetime.fromtimestamp(self._clock.now(), UTC).date()
        return [(today - timedelta(days=before)).isoformat() for before in range(count)]


def _of_day(day: str, fields: dict[str, Any]) -> list[DailyUsage]:
    by_name: dict[str, dict[str, Any]] = {}
    for field, value in fields.items():
        name, _, amount = field.partition(":")
        if amount in _AMOUNTS:
            by_name.setdefault(name, {})[amount] = value
    return [DailyUsage(day=day, name=name, **amounts) for name, amounts in sorted(by_name.items())]
