"""A child whose last result nobody reads leaves long before the grace time of its worker is over."""

import multiprocessing
import time

import billiard.pool
import pytest

from second_opinion.workers.farewell import SECONDS, bound_farewell
from second_opinion.workers.settings import Settings


def test_a_child_that_nobody_listens_to_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Billiard would let it wait for half a minute."""
    # Both are put back behind the test.
    monkeypatch.setattr(billiard.pool, "GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT", 300)
    bound_farewell()
    child = billiard.pool.Worker.__new__(billiard.pool.Worker)
    child.on_ready_counter = multiprocessing.Value("i", 0)
    begun = time.monotonic()
    assert child._ensure_messages_consumed(completed=1) is False
    assert SECONDS * 0.9 < time.monotonic() - begun < SECONDS * 2
    assert Settings().shutdown_grace_seconds > 5 * SECONDS


def test_a_child_that_was_heard_leaves_at_once() -> None:
    """As before."""
    child = billiard.pool.Worker.__new__(billiard.pool.Worker)
    child.on_ready_counter = multiprocessing.Value("i", 1)
    begun = time.monotonic()
    assert child._ensure_messages_consumed(completed=1) is True
    assert time.monotonic() - begun < SECONDS / 2
