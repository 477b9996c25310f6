"""What every `RequestBook` does: the double and Redis."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.requests import RedisRequestBook
from second_opinion.pipeline.ports import RequestBook
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.requests import MemoryRequestBook

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock()


@pytest.fixture(params=["double", pytest.param("redis", marks=pytest.mark.stack)])
def book(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[RequestBook]:
    """A book of either kind."""
    if request.param == "double":
        yield MemoryRequestBook(clock=clock)
        return
    client = connect(request.getfixturevalue("redis_url"), timeout=5.0)
    made = RedisRequestBook(client, clock=clock, namespace=request.getfixturevalue("namespace"))
    yield made
    made.close()


def spend(book: RequestBook, **used: int) -> dict[str, float]:
    """Spend of buckets that hold ten and fill by one a second."""
    return book.spend(used, per_minute=60.0, room=10.0)


def test_each_key_has_a_bucket(book: RequestBook, clock: ManualClock) -> None:
    """It begins full, fills again with time, and never above its room."""
    assert spend(book, a=3, b=1) == pytest.approx({"a": 7.0, "b": 9.0})
    clock.advance(2.0)
    assert spend(book, a=1) == pytest.approx({"a": 8.0})
    clock.advance(3_600.0)
    assert spend(book, a=1, b=0) == pytest.approx({"a": 9.0, "b": 10.0})


def test_what_was_let_in_is_counted_though_nothing_was_left(book: RequestBook, clock: ManualClock) -> None:
    """It is owed, so that over time there are no more than there may be."""
    assert spend(book, a=25) == pytest.approx({"a": -15.0})
    clock.advance(16.0)
    assert spend(book, a=0) == pytest.approx({"a": 1.0})


def test_a_clock_that_went_back_takes_nothing_away(book: RequestBook, clock: ManualClock) -> None:
    """Gateways' clocks differ a little."""
    assert spend(book, a=5) == pytest.approx({"a": 5.0})
    clock.advance(-3.0)
    assert spend(book, a=1) == pytest.approx({"a": 4.0})
    clock.advance(4.0)
    assert spend(book, a=0) == pytest.approx({"a": 5.0})


@pytest.mark.stack
def test_gateways_share_it(redis_url: str, namespace: str, clock: ManualClock) -> None:
    """Whoever counts at the same time; a bucket that nobody uses is forgotten once it is full."""
    client = connect(redis_url, timeout=5.0)
    books = [RedisRequestBook(client, clock=clock, namespace=namespace) for _ in range(2)]
    with ThreadPoolExecutor(8) as gateways:
        list(gateways.map(lambda number: spend(books[number % 2], a=1), range(40)))
    assert spend(books[0], a=0) == pytest.approx({"a": -30.0})
    (key,) = client.keys(f"{namespace}:requests:*")  # type: ignore[misc] # the driver's types know no decoding
    assert 90_000 < client.pttl(key) <= 101_000  # type: ignore[operator] # likewise
    client.close()


def test_nothing_is_told_when_redis_is_away(clock: ManualClock) -> None:
    """Nor is anything raised: a gateway goes on by its own count."""
    book = RedisRequestBook(connect(NOBODY, timeout=0.2), clock=clock)
    assert spend(book, a=1) == {}
    book.close()
