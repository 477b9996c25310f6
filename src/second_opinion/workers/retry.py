"""Whether a failed step of a query is tried again: a pure decision, so that a table can test it."""

from dataclasses import dataclass
from typing import Final

from second_opinion.schemas.errors import OpinionError, ProviderAnswerInvalid, RerankUnavailable

BASE_SECONDS: Final = 0.25
CAP_SECONDS: Final = 5.0
RERANK_TRIES: Final = 2
"""Rerankers try again by themselves, and what happens without one is the query's own choice."""
MOST_WAITS_FOR_AN_ANSWER: Final = 1
"""An answer that cannot be used was paid for: it is asked for once more, and no more."""
WAIT_BASE_SECONDS: Final = 1.0
WAIT_CAP_SECONDS: Final = 30.0
LEAST_LEFT_SECONDS: Final = 0.5


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
    if isinstance(error, RerankUnavailable) and attempt >= RERANK_TRIES:
        return GiveUp()
    pause = min(CAP_SECONDS, BASE_SECONDS * 2 ** (attempt - 1)) * (0.5 + jitter / 2)
    pause = max(pause, error.info().retry_after or 0.0)
    return RetryAfter(pause) if pause < seconds_left else GiveUp()


def wait_for_reranker(
    error: OpinionError, *, waits: int, seconds_left: float, jitter: float, asked: float = 0.0
) -> RetryAfter | GiveUp:
    """Decide about a query that chose to wait for a reranker; a last try always comes before its deadline.

    Args:
        error: Why there is none.
        waits: How often the query has waited.
        seconds_left: Until the caller no longer waits.
        jitter: A random number in [0, 1).
        asked: Seconds that the reranker asks us to wait.
    """
    if not error.transient or seconds_left < LEAST_LEFT_SECONDS:
        return GiveUp()
    if isinstance(error, ProviderAnswerInvalid) and waits >= MOST_WAITS_FOR_AN_ANSWER:
        return GiveUp()
    pause = min(WAIT_CAP_SECONDS, WAIT_BASE_SECONDS * 2 ** min(waits, 10)) * (0.5 + jitter / 2)
    return RetryAfter(min(max(pause, asked), WAIT_CAP_SECONDS, seconds_left / 2))
