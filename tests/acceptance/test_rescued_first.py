"""What a killed worker held does not wait a second time: it is taken up before all that came after it."""

import base64
import json
import os
import signal
import time
from collections.abc import Callable
from typing import TypeVar

import pytest
import redis

from second_opinion import Client
from second_opinion.pipeline.ingest import Policy
from second_opinion.pipeline.ingest.enqueue import enqueue
from second_opinion.pipeline.ports import Swap
from second_opinion.schemas.document import DocumentInput, DocumentRecord, DocumentState, document_key
from second_opinion.schemas.job import JobState
from second_opinion.workers.app import make_app
from second_opinion.workers.presence import ALIVE_SECONDS
from second_opinion.workers.queue import CeleryTaskQueue
from tests.acceptance.conftest import System, Worker, wait_until

pytestmark = pytest.mark.alone

HeldT = TypeVar("HeldT")

WAITING = 2_000
QUERIES = 300
LEAST_LEFT = 0.4
"""Share of the others that nobody has begun: else the rescued came to their turn behind them all the same."""
AFTER_LEASE_SECONDS = 30.0
LEASE_SECONDS = 4.0
START_SECONDS = 120.0
AFTER_DEATH_SECONDS = 20.0
SUSPECTS = 12


@pytest.fixture(scope="module", autouse=True)
def maintained(system: System) -> None:
    """A collection, and a maintenance worker that sends again what dead workers held."""
    with system.client() as client:
        client.submit_documents([DocumentInput(id="lobby", text="The lobby has one map, of the house itself.")])
    system.start("maintenance")


def text(number: int) -> str:
    """Return a document of one chunk."""
    shelves = (f"Shelf {shelf} of hall {number} holds the maps of county {shelf}." for shelf in range(8))
    return f"Hall {number} of the map room.\n\n" + " ".join(shelves)


def test_documents_of_a_killed_worker_come_before_two_thousand_others(system: System) -> None:
    """An index worker is killed with 2,000 documents behind those it held: another takes up these first."""
    with system.client() as client:
        client.submit_documents([DocumentInput(id=f"hall/{number}", text=text(number)) for number in range(WAITING)])
        # A worker that runs while these come in has done a good part of them before it can be killed.
        system.start("index")
        held = caught_with(system.of("index")[0], lambda: leased(system))
        killed = time.monotonic()
        queue = CeleryTaskQueue(make_app(system.settings))
        behind = queue.length("index")
        wait_until(lambda: queue.length("index") > behind, LEASE_SECONDS + AFTER_LEASE_SECONDS)
        rescued = time.monotonic() - killed - LEASE_SECONDS
        before = left(system)
        # Only now, so that a quick machine is not through with all the others before the lease is over.
        system.start("index")
        wait_until(lambda: not waiting(system, held), START_SECONDS, lambda: f"{waiting(system, held)} still wait")
        print(f"{len(held)} held, sent again {rescued:.1f} s after the lease, {left(system)} of {before} left")  # noqa: T201
        assert rescued < AFTER_LEASE_SECONDS
        assert left(system) > LEAST_LEFT * before
    for worker in system.of("index"):
        worker.kill()


def test_what_waited_to_be_alone_when_its_worker_was_killed_comes_to_the_next(system: System) -> None:
    """Documents with which workers were lost wait for each other in one, without a lease; thousands are behind."""
    with system.client() as client:
        # Those of one message at a time wait for others in between, of which a quick worker does a thousand meanwhile.
        behind = range(2 * WAITING)
        client.submit_documents([DocumentInput(id=f"wing/{number}", text=text(number)) for number in behind])
        suspects = made_suspects(system, client)
        queue = CeleryTaskQueue(make_app(system.settings))
        (worker,) = system.start("index")
        held = caught_with(worker, lambda: in_hands_only(system, suspects))
        killed, length = time.monotonic(), queue.length("index")
        wait_until(lambda: queue.length("index") > length, ALIVE_SECONDS + AFTER_DEATH_SECONDS)
        before = left(system)
        system.start("index")
        wait_until(lambda: not waiting(system, held), ALIVE_SECONDS + AFTER_DEATH_SECONDS)
        print(f"{len(held)} held, taken up after {time.monotonic() - killed:.1f} s")  # noqa: T201 - shown when it fails
        assert left(system) > LEAST_LEFT * before
    for worker in system.of("index"):
        worker.kill()


def test_a_query_of_a_killed_worker_comes_before_those_that_wait(system: System) -> None:
    """A retrieve worker is killed with hundreds of queries behind: what it held is the first that the next one does."""
    with system.client() as client:
        jobs = [client.submit_query("Which county has maps?", timeout=600.0).job_id for _ in range(QUERIES)]
        (worker,) = system.start("retrieve")
        queue = CeleryTaskQueue(make_app(system.settings))
        # To ask for each query takes longer than a worker takes for many of them; the queue tells at once.
        wait_until(lambda: queue.length("retrieve") < QUERIES - worker_threads(system), 60)
        held = caught_with(worker, lambda: held_jobs(client, jobs))
        killed = time.monotonic()
        wait_until(lambda: all(client.result(one).owner == "" for one in held), AFTER_LEASE_SECONDS)
        assert time.monotonic() - killed < AFTER_LEASE_SECONDS
        behind = queue.length("retrieve") - len(held)
        assert behind > len(held)
        system.start("retrieve")
        wait_until(lambda: all(client.result(one).attempts > 1 for one in held), 60)
        left = queue.length("retrieve")
        print(f"{len(held)} held, {behind} behind them, {left} left")  # noqa: T201 - shown when it fails
        assert left > LEAST_LEFT * behind


def caught_with(worker: Worker, hands: Callable[[], list[HeldT]]) -> list[HeldT]:
    """Kill a worker that has something in its hands, and return what: it stands still while that is looked up."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        os.kill(worker.process.pid, signal.SIGSTOP)
        if held := hands():
            worker.kill()
            return held
        os.kill(worker.process.pid, signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("the worker never had anything in its hands")


def worker_threads(system: System) -> int:
    """Return how many queries a worker has in its hands."""
    return system.settings.worker_threads


def leased(system: System) -> list[DocumentRecord]:
    """Return the documents that a worker holds."""
    return [one for one in received(system) if one.lease_owner is not None]


def made_suspects(system: System, client: Client) -> list[DocumentRecord]:
    """Return documents with which two workers were lost, sent as the reconciler sends them."""
    names = [f"tower/{number}" for number in range(SUSPECTS)]
    keys = [document_key("default", name) for name in names]
    client.submit_documents([DocumentInput(id=name, text=text(number)) for number, name in enumerate(names)])
    lost = {"losses": 2, "attempts": 2, "enqueued_at": time.time()}
    with system.stores() as stores:
        seen = stores.documents.get(keys).values()
        swapped = stores.documents.swap([Swap(one.record.model_copy(update=lost), one) for one in seen])
    suspects = [one.record for one in swapped if one is not None]
    assert len(suspects) == SUSPECTS
    enqueue(CeleryTaskQueue(make_app(system.settings)), suspects, Policy())
    return suspects


def in_hands_only(system: System, suspects: list[DocumentRecord]) -> list[DocumentRecord]:
    """Return which of these a worker has taken the message of and not begun."""
    broker = redis.Redis.from_url(system.environment["OPINION_BROKER_URL"], decode_responses=True)
    held = [
        json.loads(one)[0]["body"] for key in broker.scan_iter(match="unacked.index:*") for one in broker.hvals(key)
    ]
    bodies = " ".join(base64.b64decode(one).decode() for one in held)
    return [one for one in unbegun(system, suspects) if one.key in bodies]


def waiting(system: System, held: list[DocumentRecord]) -> int:
    """Return how many of these nobody has begun again."""
    return len(unbegun(system, held))


def unbegun(system: System, before: list[DocumentRecord]) -> list[DocumentRecord]:
    """Return those of these records whose documents wait and that nobody has begun since."""
    with system.stores() as stores:
        seen = stores.documents.get([one.key for one in before])
    now = [seen[one.key].record for one in before]
    return [
        then
        for then, one in zip(before, now, strict=True)
        if one.state is DocumentState.RECEIVED and one.attempts == then.attempts
    ]


def left(system: System) -> int:
    """Return how many documents were not begun yet."""
    return sum(one.attempts == 0 for one in received(system))


def received(system: System) -> list[DocumentRecord]:
    """Return the documents that are not done."""
    with system.stores() as stores:
        return stores.documents.listed("default", state="received", after=None, limit=10_000)


def held_jobs(client: Client, jobs: list[str]) -> list[str]:
    """Return the queries that a retrieve worker has in its hands."""
    found = [client.result(one) for one in jobs]
    return [one.job_id for one in found if one.state is JobState.RETRIEVING and one.owner]
