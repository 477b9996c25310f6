"""What every `Breaker` and `RateLimit` does: the doubles and Redis."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from second_opinion.pipeline.adapters.redis.breakers import RedisBreaker, RedisRateLimit
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.ports import Breaker, BreakerState, RateLimit
from second_opinion.testing.breakers import MemoryBreaker, MemoryRateLimit
from second_opinion.testing.clock import ManualClock
from second_opinion.workers.rerankers import open_breaker
from second_opinion.workers.settings import Settings

KINDS = ["double", pytest.param("redis", marks=pytest.mark.stack)]
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock()


@pytest.fixture(params=KINDS)
def breaker(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Breaker]:
    """A breaker of either kind that opens after three failures, for ten seconds."""
    if request.param == "double":
        yield MemoryBreaker(clock=clock, threshold=3, cool_down=10.0)
        return
    client = connect(request.getfixturevalue("redis_url"), timeout=5.0)
    namespace = request.getfixturevalue("namespace")
    yield RedisBreaker(client, clock=clock, threshold=3, cool_down=10.0, namespace=namespace)
    client.close()


@pytest.fixture(params=KINDS)
def limit(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[RateLimit]:
    """A rate limit of either kind."""
    if request.param == "double":
        yield MemoryRateLimit(clock=clock)
        return
    client = connect(request.getfixturevalue("redis_url"), timeout=5.0)
    yield RedisRateLimit(client, clock=clock, namespace=request.getfixturevalue("namespace"))
    client.close()


def break_it(breaker: Breaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.failed("far")


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    """Two are not enough, three are, and others have breakers of their own."""
    assert breaker.state("far") == BreakerState("closed")
    break_it(breaker, 2)
    assert breaker.ask("far") == 0.0
    assert breaker.state("far") == BreakerState("closed", 2)
    break_it(breaker, 1)
    assert breaker.ask("far") == pytest.approx(10.0)
    assert breaker.state("far").state == "open"
    assert breaker.ask("near") == 0.0


def test_a_refusal_is_remembered_and_opens_nothing(breaker: Breaker) -> None:
    """It stands there until a call ends otherwise, and failures before it no longer count: the provider answers."""
    break_it(breaker, 2)
    breaker.refused("far", "it does not know the key")
    assert breaker.state("far") == BreakerState("closed", refusal="it does not know the key")
    assert breaker.ask("far") == 0.0
    break_it(breaker, 2)
    assert breaker.state("far") == BreakerState("closed", 2)
    breaker.refused("far", "again")
    breaker.succeeded("far")
    assert breaker.state("far") == BreakerState("closed")


def test_a_success_between_starts_the_count_anew(breaker: Breaker) -> None:
    """Only failures in a row count."""
    break_it(breaker, 2)
    breaker.succeeded("far")
    break_it(breaker, 2)
    assert breaker.ask("far") == 0.0


def test_a_cooled_one_lets_one_probe_through(breaker: Breaker, clock: ManualClock) -> None:
    """Of many that ask at once only the first may call; a success then lets all."""
    break_it(breaker)
    clock.advance(4.0)
    assert breaker.ask("far") == pytest.approx(6.0)
    clock.advance(6.1)
    assert breaker.state("far").state == "half-open"
    assert [breaker.ask("far") > 0.0 for _ in range(4)] == [False, True, True, True]
    breaker.succeeded("far")
    assert [breaker.ask("far") for _ in range(4)] == [0.0] * 4


def test_a_failed_probe_opens_it_again(breaker: Breaker, clock: ManualClock) -> None:
    """A whole cool-down passes before the next one."""
    break_it(breaker)
    clock.advance(10.1)
    assert breaker.ask("far") == 0.0
    break_it(breaker, 1)
    assert breaker.ask("far") == pytest.approx(10.0)


def test_a_probe_that_never_tells_is_not_waited_for(breaker: Breaker, clock: ManualClock) -> None:
    """Its worker may have died: after another cool-down the next one goes."""
    break_it(breaker)
    clock.advance(10.1)
    assert breaker.ask("far") == 0.0
    clock.advance(10.1)
    assert breaker.ask("far") == 0.0


@pytest.mark.stack
def test_workers_share_it(redis_url: str, namespace: str, clock: ManualClock) -> None:
    """What one worker has seen fail, another does not try."""
    clients = [connect(redis_url, timeout=5.0) for _ in range(2)]
    one, other = (RedisBreaker(client, clock=clock, threshold=2, namespace=namespace) for client in clients)
    one.failed("far")
    other.failed("far")
    assert one.ask("far") > 0.0
    assert other.ask("far") > 0.0
    for client in clients:
        client.close()


@pytest.mark.stack
def test_the_settings_say_when_it_opens_and_for_how_long(redis_url: str, namespace: str, tmp_path: Path) -> None:
    """Every worker and the doctor read the same two settings."""
    settings = Settings(
        state_dir=tmp_path,
        jobs_url=SecretStr(redis_url),
        index_prefix=namespace,
        breaker_threshold=2,
        breaker_cool_down=900.0,
    )
    breaker = open_breaker(settings)
    break_it(breaker, 1)
    assert breaker.ask("far") == 0.0
    break_it(breaker, 1)
    assert 890.0 < breaker.ask("far") <= 900.0


def test_without_redis_nothing_is_held_back(clock: ManualClock) -> None:
    """A breaker and a limit that cannot be asked let every call through, and never raise."""
    client = connect(NOBODY, timeout=0.2)
    breaker, limit = RedisBreaker(client, clock=clock, threshold=1), RedisRateLimit(client, clock=clock)
    breaker.failed("far")
    breaker.succeeded("far")
    breaker.refused("far", "no")
    assert breaker.ask("far") == 0.0
    assert breaker.state("far") == BreakerState("closed")
    assert [limit.take("far", 1.0) for _ in range(3)] == [0.0] * 3


def test_a_minute_has_so_many_calls(limit: RateLimit, clock: ManualClock) -> None:
    """A minute's calls may come at once; then one comes free at a time."""
    assert [limit.take("far", 6.0) for _ in range(6)] == [0.0] * 6
    assert limit.take("far", 6.0) == pytest.approx(10.0, abs=1e-3)
    assert limit.take("near", 6.0) == 0.0
    clock.advance(4.0)
    assert limit.take("far", 6.0) == pytest.approx(6.0, abs=1e-3)
    clock.advance(6.01)
    assert limit.take("far", 6.0) == 0.0
    assert limit.take("far", 6.0) > 0.0


def test_rest_saves_no_more_than_a_minute(limit: RateLimit, clock: ManualClock) -> None:
    """An hour without calls is followed by one minute's calls, not by an hour's."""
    limit.take("far", 2.0)
    clock.advance(3_600.0)
    assert [limit.take("far", 2.0) == 0.0 for _ in range(3)] == [True, True, False]


def test_a_clock_that_went_back_takes_nothing_away(limit: RateLimit, clock: ManualClock) -> None:
    """Workers' clocks differ a little."""
    assert limit.take("far", 2.0) == 0.0
    clock.advance(-5.0)
    assert limit.take("far", 2.0) == 0.0
    assert limit.take("far", 2.0) == pytest.approx(30.0, abs=1e-3)


@pytest.mark.stack
def test_workers_share_a_limit(redis_url: str, namespace: str, clock: ManualClock) -> None:
    """Two workers together make a minute's calls, whoever comes first, also when they ask at the same time."""
    clients = [connect(redis_url, timeout=5.0) for _ in range(2)]
    workers = [RedisRateLimit(client, clock=clock, namespace=namespace) for client in clients]
    with ThreadPoolExecutor(8) as callers:
        waits = list(callers.map(lambda number: workers[number % 2].take("far", 6.0), range(16)))
    assert waits.count(0.0) == 6
    assert workers[0].take("far", 6.0) == workers[1].take("far", 6.0) == pytest.approx(10.0, abs=1e-3)
    for client in clients:
        client.close()
