"""What every register of workers does: the double and Redis."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.workers import RedisWorkers
from second_opinion.pipeline.ports import WorkerRegister
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.workers import MemoryWorkers

START = 1_700_000_000.0


@dataclass
class Kept:
    """A register and its clock."""

    workers: WorkerRegister
    clock: ManualClock


@pytest.fixture(params=["double", pytest.param("redis", marks=pytest.mark.stack)])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """A register of either kind."""
    clock = ManualClock(START)
    if request.param == "double":
        yield Kept(MemoryWorkers(clock=clock), clock)
        return
    client = connect(request.getfixturevalue("redis_url"), timeout=5.0)
    yield Kept(RedisWorkers(client, clock=clock, namespace=request.getfixturevalue("namespace")), clock)
    client.close()


def test_workers_are_known_by_when_they_were_last_seen(kept: Kept) -> None:
    """Each queue has its own; the latest moment counts; a queue without workers has none."""
    kept.workers.seen("index", "one")
    kept.clock.advance(5.25)
    kept.workers.seen("index", "two")
    kept.workers.seen("rerank", "three")
    assert kept.workers.last_seen("index") == {"one": START, "two": START + 5.25}
    kept.workers.seen("index", "one")
    assert kept.workers.last_seen("index") == {"one": START + 5.25, "two": START + 5.25}
    assert kept.workers.last_seen("extract") == {}


def test_who_was_not_seen_for_a_day_is_forgotten(kept: Kept) -> None:
    """Machines come and go; the register does not grow with them."""
    kept.workers.seen("index", "one")
    kept.clock.advance(86_390.0)
    kept.workers.seen("index", "two")
    assert len(kept.workers.last_seen("index")) == 2
    kept.clock.advance(20.0)
    assert list(kept.workers.last_seen("index")) == ["two"]
