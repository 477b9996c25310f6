"""How often a key may come: one bucket for each, and several gateways that share the count."""

import asyncio

import pytest

from second_opinion.gateway.http.rates import RateDesk, RateLimit
from second_opinion.schemas.errors import RateLimited
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.requests import MemoryRequestBook


def test_a_bucket_fills_again_with_time() -> None:
    """Exactly as fast as it says, and never above its room."""
    now = 100.0
    limit = RateLimit(120, lambda: now)
    for _ in range(20):
        limit.take("a")
    with pytest.raises(RateLimited) as caught:
        limit.take("a")
    assert caught.value.retry_after == pytest.approx(0.5)
    now += 0.5
    limit.take("a")
    with pytest.raises(RateLimited):
        limit.take("a")
    now += 3_600.0
    for _ in range(20):
        limit.take("a")
    with pytest.raises(RateLimited):
        limit.take("a")


def test_what_others_let_in_is_taken_off() -> None:
    """Below nothing, too: then it takes as much longer until there is one again."""
    now = 100.0
    limit = RateLimit(60, lambda: now)
    limit.take("a")
    assert limit.used() == {"a": 1}
    limit.take("a")
    limit.settle({"a": -2.0})
    with pytest.raises(RateLimited) as caught:
        limit.take("a")
    assert caught.value.retry_after == pytest.approx(4.0), "one was let in since that was counted"
    assert limit.used() == {"a": 1}
    now += 4.0
    limit.take("a")
    limit.take("b")
    assert limit.used() == {"a": 1, "b": 1}
    assert limit.used() == {}


async def test_gateways_tell_one_another() -> None:
    """Two that share a book let a key in as often as one would."""
    book = MemoryRequestBook(clock=ManualClock())
    desks = [RateDesk(60, book) for _ in range(2)]
    async with desks[0].running(), desks[1].running():
        for _ in range(10):
            desks[0].take("a")
        await asyncio.sleep(0.3)
        desks[1].take("a")
        await asyncio.sleep(0.3)
        with pytest.raises(RateLimited) as caught:
            desks[1].take("a")
    assert caught.value.retry_after == pytest.approx(2.0, abs=0.7)


async def test_a_book_that_breaks_stops_no_gateway() -> None:
    """Its own count goes on, and it tells the others once they can be told."""

    class Broken(MemoryRequestBook):
        def __init__(self) -> None:
            super().__init__(clock=ManualClock())
            self.told: list[dict[str, int]] = []

        def spend(self, used: dict[str, int], **_how: float) -> dict[str, float]:  # type: ignore[override]
            self.told.append(used)
            if len(self.told) == 1:
                raise ZeroDivisionError
            return {}

    book = Broken()
    desk = RateDesk(60, book)
    async with desk.running():
        for _ in range(2):
            desk.take("a")
            await asyncio.sleep(0.3)
        for _ in range(8):
            desk.take("a")
        with pytest.raises(RateLimited):
            desk.take("a")
    assert book.told[:2] == [{"a": 1}, {"a": 1}]


async def test_without_a_limit_nothing_is_counted() -> None:
    """Which is how it is unless the settings say otherwise."""
    desk = RateDesk(0, MemoryRequestBook(clock=ManualClock()))
    async with desk.running():
        for _ in range(1_000):
            desk.take("a")
