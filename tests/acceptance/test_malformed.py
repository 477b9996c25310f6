"""Malformed payloads and raw garbage in every queue: no worker ends, all of it is accounted for, work goes on.

The long form is `./do bench malformed`: 100,000 payloads.
"""

import time

import pytest
import redis

from second_opinion.schemas.document import DocumentInput
from second_opinion.workers.envelopes import UNREADABLE
from second_opinion.workers.routing import QUEUE_OF_TASK, ROLES
from tests.acceptance.conftest import System, wait_until
from tests.faults.malformed import GARBAGE, TASKS
from tests.faults.malformed_traffic import endings, push_garbage, send_malformed

MESSAGES = 1_000
SEED = 1
WORKED_OFF_SECONDS = 240.0
AGAIN_SECONDS = 5.0
START_SECONDS = 60.0

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def running(system: System) -> System:
    """One worker of every role, which say of each task how it ended."""
    system.environment = {**system.environment, "OPINION_LOG_LEVEL": "DEBUG", "OPINION_DEAF_SECONDS": "60"}
    system.start_all()
    return system


def pids(system: System) -> dict[str, int]:
    """Return the worker processes that live."""
    return {role: worker.process.pid for role in ROLES for worker in system.of(role)}


def works(system: System, name: str) -> float:
    """Return how many seconds a document takes until it is found."""
    started = time.monotonic()
    with system.client() as client:
        client.wait_documents(client.submit_documents([DocumentInput(id=name, text=f"Note {name}.")]), timeout=180.0)
        assert client.query("Which note?", timeout=180.0).job_id
    return time.monotonic() - started


def test_malformed_payloads_end_no_worker(running: System) -> None:
    """A thousand payloads in well-formed envelopes: the same processes live, and each message has ended, told."""
    before = pids(running)
    sent = send_malformed(running.environment["OPINION_BROKER_URL"], MESSAGES, SEED)
    assert len(sent) == MESSAGES
    wait_until(
        lambda: sent <= endings(running).keys(),
        WORKED_OFF_SECONDS,
        lambda: f"{len(sent - endings(running).keys())} of {len(sent)} messages have not ended",
    )
    assert pids(running) == before
    assert set(before) == set(ROLES)
    works(running, "after-payloads")


@pytest.mark.parametrize("queue", sorted({*QUEUE_OF_TASK.values()}))
def test_raw_garbage_ends_no_worker(running: System, queue: str) -> None:
    """Items that are no envelopes are counted, and what waits behind them is worked on within seconds."""
    broker = redis.Redis.from_url(running.environment["OPINION_BROKER_URL"])
    before = pids(running)
    counted = int(broker.hget(UNREADABLE, queue) or 0)  # type: ignore[arg-type] # not awaited
    push_garbage(broker, queue)
    wait_until(
        lambda: int(broker.hget(UNREADABLE, queue) or 0) == counted + len(GARBAGE),  # type: ignore[arg-type]
        AGAIN_SECONDS + START_SECONDS,
        lambda: f"{broker.hget(UNREADABLE, queue)!r} of {len(GARBAGE)} counted in {queue}",
    )
    assert pids(running) == before
    works(running, f"after-garbage-in-{queue}")


def test_every_task_is_tried() -> None:
    """A task that is added gets its share of malformed payloads."""
    assert set(TASKS) == set(QUEUE_OF_TASK)
