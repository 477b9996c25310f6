"""What every `UsageBook` does: the double and Redis."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.usage import RedisUsage
from second_opinion.pipeline.ports import UsageBook
from second_opinion.schemas.errors import JobStoreUnavailable
from second_opinion.schemas.usage import DailyUsage, RerankUsage
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.usage import MemoryUsage

NIGHT = 1_772_971_200.0 + 43_199.0  # 8 March 2026, one second before midnight
DAY = 86_400.0
CALL = RerankUsage(requests=1, search_units=2.5, tokens=7)


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still, a second before midnight."""
    clock = ManualClock()
    clock.advance(NIGHT - clock.now())
    return clock


@pytest.fixture(params=["double", pytest.param("redis", marks=pytest.mark.stack)])
def book(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[UsageBook]:
    """A book of either kind."""
    if request.param == "double":
        yield MemoryUsage(clock=clock)
        return
    client = connect(request.getfixturevalue("redis_url"), timeout=5.0)
    yield RedisUsage(client, clock=clock, namespace=request.getfixturevalue("namespace"))
    client.close()


def test_what_is_added_adds_up(book: UsageBook) -> None:
    """Each reranker has its own sums; what costs nothing leaves no entry."""
    for _ in range(3):
        book.add("far", CALL)
    book.add("far", RerankUsage(unusable=1))
    book.add("near", RerankUsage(requests=1))
    book.add("free", RerankUsage())
    assert book.read(1) == [
        DailyUsage(day="2026-03-08", name="far", requests=3, search_units=7.5, tokens=21, unusable=1),
        DailyUsage(day="2026-03-08", name="near", requests=1),
    ]


def test_days_are_told_apart(book: UsageBook, clock: ManualClock) -> None:
    """The day changes at midnight in UTC; the latest comes first, and days that were not asked for stay away."""
    book.add("far", CALL)
    clock.advance(1.0)
    book.add("far", CALL)
    assert [(one.day, one.requests) for one in book.read(2)] == [("2026-03-09", 1), ("2026-03-08", 1)]
    assert [one.day for one in book.read(1)] == ["2026-03-09"]
    clock.advance(2 * DAY)
    assert book.read(2) == []


def test_workers_that_count_at_once_lose_nothing(book: UsageBook) -> None:
    """Each increment is one step, whoever else counts."""
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(lambda _: book.add("far", CALL), range(200)):
            pass
    (one,) = book.read(1)
    assert (one.requests, one.search_units, one.tokens) == (200, 500.0, 1_400)


def test_without_redis_the_cost_is_in_the_log(clock: ManualClock) -> None:
    """A query does not fail for it; who wants to read the book hears why not."""
    client = connect("redis://127.0.0.1:1/0", timeout=0.2)
    book = RedisUsage(client, clock=clock)
    with capture_logs() as lines:
        book.add("far", CALL)
    assert [(line["event"], line["reranker"], line["search_units"]) for line in lines] == [
        ("usage_not_counted", "far", 2.5)
    ]
    with pytest.raises(JobStoreUnavailable):
        book.read(1)
