"""The retry decision, as a table."""

import pytest

from second_opinion.schemas.errors import (
    EmptyQuery,
    InternalError,
    OpinionError,
    Overloaded,
    ProviderAnswerInvalid,
    ProviderRefused,
    RerankUnavailable,
    StoreUnavailable,
)
from second_opinion.workers.retry import (
    CAP_SECONDS,
    LEAST_LEFT_SECONDS,
    RERANK_TRIES,
    WAIT_CAP_SECONDS,
    GiveUp,
    RetryAfter,
    decide,
    wait_for_reranker,
)


@pytest.mark.parametrize(
    ("error", "attempt", "seconds_left", "expected"),
    [
        (StoreUnavailable("x"), 1, 60.0, RetryAfter(0.125)),
        (StoreUnavailable("x"), 2, 60.0, RetryAfter(0.25)),
        (StoreUnavailable("x"), 3, 60.0, RetryAfter(0.5)),
        (StoreUnavailable("x"), 30, 60.0, RetryAfter(CAP_SECONDS / 2)),
        (RerankUnavailable("x"), 1, 60.0, RetryAfter(0.125)),
        (RerankUnavailable("x"), RERANK_TRIES, 60.0, GiveUp()),
        (StoreUnavailable("x"), 3, 0.5, GiveUp()),
        (StoreUnavailable("x"), 1, 0.0, GiveUp()),
        (Overloaded("x", retry_after=7.0), 1, 60.0, RetryAfter(7.0)),
        (Overloaded("x", retry_after=7.0), 1, 6.0, GiveUp()),
        (RerankUnavailable("x", retry_after=4.0), 1, 60.0, RetryAfter(4.0)),
        (RerankUnavailable("x", retry_after=61.0), 1, 60.0, GiveUp()),
        (EmptyQuery("x"), 1, 60.0, GiveUp()),
        (InternalError("x"), 1, 60.0, GiveUp()),
    ],
)
def test_decides(error: OpinionError, attempt: int, seconds_left: float, expected: RetryAfter | GiveUp) -> None:
    """Transient errors back off while the caller still waits; permanent ones are never tried again."""
    assert decide(error, attempt=attempt, seconds_left=seconds_left, jitter=0.0) == expected


def test_jitter_spreads_the_pauses() -> None:
    """Workers that failed together do not come back together."""
    early = decide(StoreUnavailable("x"), attempt=4, seconds_left=60.0, jitter=0.0)
    late = decide(StoreUnavailable("x"), attempt=4, seconds_left=60.0, jitter=0.99)
    assert isinstance(early, RetryAfter)
    assert isinstance(late, RetryAfter)
    assert late.seconds > early.seconds * 1.9


@pytest.mark.parametrize(
    ("waits", "seconds_left", "asked", "expected"),
    [
        (0, 60.0, 0.0, RetryAfter(0.5)),
        (1, 60.0, 0.0, RetryAfter(1.0)),
        (3, 60.0, 0.0, RetryAfter(4.0)),
        (0, 60.0, 7.0, RetryAfter(7.0)),
        (0, 600.0, 90.0, RetryAfter(WAIT_CAP_SECONDS)),
        (50, 600.0, 0.0, RetryAfter(WAIT_CAP_SECONDS / 2)),
        (50, 8.0, 0.0, RetryAfter(4.0)),
        (0, LEAST_LEFT_SECONDS / 2, 0.0, GiveUp()),
    ],
)
def test_waiting_for_a_reranker(waits: int, seconds_left: float, asked: float, expected: RetryAfter | GiveUp) -> None:
    """Pauses grow to half a minute, heed what the provider asks for, and leave room for a last try in time."""
    problem = RerankUnavailable("away")
    assert wait_for_reranker(problem, waits=waits, seconds_left=seconds_left, jitter=0.0, asked=asked) == expected


def test_an_unusable_answer_is_waited_for_once() -> None:
    """It was paid for: a second one is no accident."""
    problem = ProviderAnswerInvalid("a web page")
    assert wait_for_reranker(problem, waits=0, seconds_left=60.0, jitter=0.0) == RetryAfter(0.5)
    assert wait_for_reranker(problem, waits=1, seconds_left=60.0, jitter=0.0) == GiveUp()


def test_a_refusal_is_not_waited_out() -> None:
    """A provider that does not know the key will not know it in a minute."""
    assert wait_for_reranker(ProviderRefused("401"), waits=0, seconds_left=60.0, jitter=0.0) == GiveUp()
