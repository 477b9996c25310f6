"""What all work needs: time, ids, and a way to hear that nobody wants it any more."""

from collections.abc import Callable
from typing import Protocol

Guard = Callable[[], None]
"""Called between units of work; raises `JobCancelled` or `DeadlineExceeded` when the work is no longer wanted."""

TimeIsOver = Callable[[], bool]
"""Tells whether work has to end with what there is by now."""


def no_guard() -> None:
    """Let the work go on."""


class Clock(Protocol):
    """Time, so that simulations can have their own."""

    def now(self) -> float:
        """Return Unix seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class OperationIds(Protocol):
    """Makes g, the id of an operation."""

    def new(self) -> str:
        """Return a new ULID: 26 characters, sorted by time."""
