"""Circuit breakers and rate limits in memory."""

from second_opinion.pipeline.ports import BreakerState, Clock


class MemoryBreaker:
    """A `Breaker` in this process."""

    def __init__(self, *, clock: Clock, threshold: int = 5, cool_down: float = 30.0) -> None:
        self._clock = clock
        self._threshold = threshold
        self._cool_down = cool_down
        self._failures: dict[str, int] = {}
        self._retry_at: dict[str, float] = {}
        self._refusals: dict[str, str] = {}

    def ask(self, name: str) -> float:
        """Return 0.0 when a reranker may be called now, or the seconds until it may."""
        if self._failures.get(name, 0) < self._threshold:
            return 0.0
        left = self._retry_at[name] - self._clock.now()
        if left > 0.0:
            return left
        self._retry_at[name] = self._clock.now() + self._cool_down
        return 0.0

    def failed(self, name: str) -> None:
        """Count a call that failed and may succeed later."""
        self._refusals.pop(name, None)
        self._failures[name] = self._failures.get(name, 0) + 1
        self._retry_at[name] = self._clock.now() + self._cool_down

    def refused(self, name: str, told: str) -> None:
        """Remember a refusal and what was said; forget the failures before it."""
        self._failures.pop(name, None)
        self._refusals[name] = told

    def succeeded(self, name: str) -> None:
        """Forget the failures, and the refusal."""
        self._failures.pop(name, None)
        self._refusals.pop(name, None)

    def state(self, name: str) -> BreakerState:
        """Return how the breaker of a reranker stands."""
        failures = self._failures.get(name, 0)
        if failures < self._threshold:
            return BreakerState("closed", failures, refusal=self._refusals.get(name, ""))
        left = self._retry_at[name] - self._clock.now()
        return BreakerState("open", failures, left) if left > 0.0 else BreakerState("half-open", failures)


class MemoryRateLimit:
    """A `RateLimit` in this process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, per_minute: float) -> float:
        """Take one call and return 0.0, or return the seconds until one can be taken."""
        now, full, rate = self._clock.now(), max(1.0, per_minute), per_minute / 60.0
        calls, at = self._buckets.get(name, (full, now))
        calls = min(full, calls + max(0.0, now - at) * rate)
        taken = calls >= 1.0
        self._buckets[name] = (calls - 1.0 if taken else calls, max(at, now))
        return 0.0 if taken else (1.0 - calls) / rate
