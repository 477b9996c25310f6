"""The register of workers in memory."""

from second_opinion.pipeline.ports import Clock

REMEMBERED_SECONDS = 86_400.0


class MemoryWorkers:
    """A `WorkerRegister` in this process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, dict[str, float]] = {}

    def seen(self, queue: str, worker: str) -> None:
        """Note that a worker consumes a queue at this moment."""
        self._seen.setdefault(queue, {})[worker] = self._clock.now()

    def last_seen(self, queue: str) -> dict[str, float]:
        """Return when the workers of a queue were last seen (Unix seconds)."""
        since = self._clock.now() - REMEMBERED_SECONDS
        return {name: at for name, at in self._seen.get(queue, {}).items() if at >= since}
