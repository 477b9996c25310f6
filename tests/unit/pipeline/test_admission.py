"""Callers are asked to come back while the system is full, and are let in when it is not, or nobody knows."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from second_opinion.pipeline.admission import ASK_SECONDS, Admission, Bounds
from second_opinion.schemas.errors import BrokerUnavailable, Overloaded
from second_opinion.testing.clock import ManualClock

BOUNDS = Bounds(ingest_messages=10, query_messages=4, memory_share=0.8)


class Broker:
    """Queues of set lengths."""

    def __init__(self) -> None:
        self.lengths = {"extract": 0, "index": 0, "retrieve": 0, "rerank": 0}
        self.share = 0.0
        self.is_away = False
        self.asked = 0

    def length(self, queue: str) -> int:
        """Return how many wait."""
        self.asked += 1
        if self.is_away:
            raise BrokerUnavailable("away")
        return self.lengths[queue]


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def admission(broker: Broker, clock: ManualClock) -> Admission:
    return Admission(BOUNDS, clock, length=broker.length, memory_share=lambda: broker.share)


def test_both_queues_of_ingest_count_and_queries_do_not(admission: Admission, broker: Broker) -> None:
    """A flood of documents closes the door to documents alone: queries are still taken in."""
    broker.lengths |= {"extract": 5, "index": 5}
    with pytest.raises(Overloaded) as refused:
        admission.documents()
    assert refused.value.info().retry_after == 5.0
    assert refused.value.info().hint
    admission.queries()


def test_queries_have_a_bound_of_their_own(admission: Admission, broker: Broker) -> None:
    """Too many queries close the door to queries alone."""
    broker.lengths |= {"retrieve": 3, "rerank": 1}
    with pytest.raises(Overloaded):
        admission.queries()
    admission.documents()


@pytest.mark.parametrize("kind", ["documents", "queries"])
def test_a_full_redis_takes_in_nothing(admission: Admission, broker: Broker, kind: str) -> None:
    """Beyond its share of memory nothing more is put into Redis."""
    broker.share = 0.79
    getattr(admission, kind)()


@pytest.mark.parametrize("kind", ["documents", "queries"])
def test_a_nearly_full_redis_refuses(admission: Admission, broker: Broker, kind: str) -> None:
    """At its share of memory, callers are told what is full."""
    broker.share = 0.8
    with pytest.raises(Overloaded, match="80%"):
        getattr(admission, kind)()


def test_the_door_opens_again_and_is_looked_at_once_a_second(
    admission: Admission, broker: Broker, clock: ManualClock
) -> None:
    """Redis is asked once a second at most, and after that a queue that has shrunk lets callers in."""
    broker.lengths["index"] = 10
    for _ in range(3):
        with pytest.raises(Overloaded):
            admission.documents()
    assert broker.asked == 2
    broker.lengths["index"] = 9
    clock.advance(ASK_SECONDS)
    admission.documents()


def test_whoever_cannot_ask_lets_everything_in(admission: Admission, broker: Broker) -> None:
    """Documents are accepted without Redis; the reconciler enqueues them when it is back."""
    broker.is_away = True
    admission.documents()


def test_nobody_waits_behind_a_slow_answer(clock: ManualClock) -> None:
    """While one caller asks a Redis that is slow, others go by what was known before."""
    asking, answer = threading.Event(), threading.Event()

    def length(_: str) -> int:
        asking.set()
        assert answer.wait(10)
        return 0

    admission = Admission(BOUNDS, clock, length=length, memory_share=lambda: 0.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(admission.queries)
        assert asking.wait(10)
        admission.queries()
        assert not first.done()
        answer.set()
        first.result()
