"""Requests of keys, counted in this process."""

from collections.abc import Mapping

from second_opinion.pipeline.ports import Clock


class MemoryRequestBook:
    """A `RequestBook` in this process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def spend(self, used: Mapping[str, int], *, per_minute: float, room: float) -> dict[str, float]:
        """Take requests off the keys that made them, and return what is left of each."""
        now, left = self._clock.now(), {}
        for key, count in used.items():
            tokens, at = self._buckets.get(key, (room, now))
            left[key] = min(room, tokens + max(0.0, now - at) * per_minute / 60.0) - count
            self._buckets[key] = (left[key], max(at, now))
        return left

    def close(self) -> None:
        """Hold nothing that would have to be given back."""
