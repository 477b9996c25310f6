"""Whether a failed step of a query is tried again: a pure decision, so that a table can test it."""

from dataclasses import dataclass
from typing import Final

from second_opinion.schemas.errors import OpinionError, Overloaded

BASE_SECONDS: Final = 0.25
CAP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Record the error as the outcome."""


def decide(error: OpinionError, *, attempt: int, seconds_left: float, jitter: float) -> RetryAfter | GiveUp:
    """Decide about an error of the `attempt`-th try (from 1).

    Args:
        error: What went wrong.
        attempt: How many tries there were.
        seconds_left: Until the caller no longer waits.
        jitter: A random number in [0, 1), so that workers do not come back in step.
    """
    if not error.transient:
        return GiveUp()
    pause = min(CAP_SECONDS, BASE_SECONDS * 2 ** (attempt - 1)) * (0.5 + jitter / 2)
    if isinstance(error, Overloaded):
        pause = max(pause, error.retry_after)
    return RetryAfter(pause) if pause < seconds_left else GiveUp()
