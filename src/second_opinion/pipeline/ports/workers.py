"""Who consumes which queue."""

from typing import Protocol


class WorkerRegister(Protocol):
    """Workers and when they were last seen. Those that were not for a day are forgotten."""

    def seen(self, queue: str, worker: str) -> None:
        """Note that a worker consumes a queue at this moment."""

    def last_seen(self, queue: str) -> dict[str, float]:
        """Return when the workers of a queue were last seen (Unix seconds)."""
