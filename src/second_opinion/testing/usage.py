"""What rerankers cost by day, in memory."""

import threading
from datetime import UTC, datetime, timedelta

from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.usage import DailyUsage, RerankUsage


class MemoryUsage:
    """A `UsageBook` in this process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._spent: dict[tuple[str, str], DailyUsage] = {}
        self._lock = threading.Lock()

    def add(self, name: str, usage: RerankUsage) -> None:
        """Add to what a reranker has cost today."""
        if usage == RerankUsage():
            return
        day = self._days(1)[0]
        with self._lock:
            self._spent[day, name] = self._spent.get((day, name), DailyUsage(day=day, name=name)) + usage

    def read(self, days: int) -> list[DailyUsage]:
        """Return what each reranker cost on each of the last days, by day, the latest first, and name."""
        asked = self._days(days)
        found = [one for (day, _), one in self._spent.items() if day in asked]
        return sorted(sorted(found, key=lambda one: one.name), key=lambda one: one.day, reverse=True)

    def _days(self, count: int) -> list[str]:
        today = datetime.fromtimestamp(self._clock.now(), UTC).date()
        return [(today - timedelta(days=before)).isoformat() for before in range(count)]
