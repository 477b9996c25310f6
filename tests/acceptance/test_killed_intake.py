"""SIGKILL of an intake worker: what was sent by task name and is nowhere else comes to another within seconds."""

import signal
import time

import pytest
import redis
from celery import Celery

from second_opinion.workers.presence import ALIVE_SECONDS
from second_opinion.workers.routing import ACCEPT
from tests.acceptance.conftest import System, wait_until

MESSAGES = 400
DOCUMENTS = 10
TRIES = 5
AFTER_DEATH_SECONDS = 30.0
IDLE_SECONDS = 2.5


def test_messages_of_a_killed_intake_worker_are_taken_up_again(system: System) -> None:
    """All that was sent by name is accepted, those messages too that the killed worker had in its hands."""
    system.start("maintenance")
    broker = redis.Redis.from_url(system.environment["OPINION_BROKER_URL"], decode_responses=True)
    send_all(system)
    killed_at, held = kill_with_full_hands(system, broker)
    (worker,) = system.start("intake")
    wait_until(lambda: not in_hands_of_others(broker, worker.process.pid), ALIVE_SECONDS + AFTER_DEATH_SECONDS)
    seconds = time.monotonic() - killed_at
    print(f"{held} messages in its hands, given back after {seconds:.1f} s")  # noqa: T201 - shown when it fails
    with system.client() as client:
        wait_until(lambda: int(broker.llen("intake")) == 0, 120)  # type: ignore[arg-type] # not awaited
        names = [("default", f"note/{number}") for number in range(MESSAGES * DOCUMENTS)]
        wait_until(lambda: len(client.document_statuses(names)) == len(names), 60)
    worker.kill()


@pytest.mark.parametrize("thaws", [False, True])
def test_a_message_that_came_to_a_worker_at_a_standstill_is_taken_up_by_another(system: System, *, thaws: bool) -> None:
    """It waits at Redis when it is stopped, so the next message is its own; whether it comes back or not."""
    if not system.of("maintenance"):
        system.start("maintenance")
    (still,) = system.start("intake")
    time.sleep(IDLE_SECONDS)
    still.process.send_signal(signal.SIGSTOP)
    app = Celery(broker=system.environment["OPINION_BROKER_URL"])
    app.send_task(ACCEPT, queue="intake", args=[{"documents": [{"id": f"still/{thaws}", "text": "A note."}]}])
    app.close()
    broker = redis.Redis.from_url(system.environment["OPINION_BROKER_URL"], decode_responses=True)
    wait_until(lambda: bool(list(broker.scan_iter(match="taken.intake:*"))), 2)
    system.start("intake")
    with system.client() as client:
        wait_until(lambda: bool(client.document_statuses([("default", f"still/{thaws}")])), AFTER_DEATH_SECONDS)
        found = client.document_status(f"still/{thaws}")
        if thaws:
            still.process.send_signal(signal.SIGCONT)
            wait_until(lambda: not in_hands_of_others(broker, 0), AFTER_DEATH_SECONDS)
            time.sleep(IDLE_SECONDS)
            assert client.document_status(f"still/{thaws}") == found
    for worker in system.of("intake"):
        worker.kill()


def send_all(system: System) -> None:
    """Send all messages as a producer does that knows nothing but the name of the task."""
    app = Celery(broker=system.environment["OPINION_BROKER_URL"])
    for message in range(MESSAGES):
        numbers = range(message * DOCUMENTS, (message + 1) * DOCUMENTS)
        documents = [{"id": f"note/{number}", "text": f"Note {number}."} for number in numbers]
        app.send_task(ACCEPT, queue="intake", args=[{"documents": documents}])
    app.close()


def kill_with_full_hands(system: System, broker: "redis.Redis") -> tuple[float, int]:
    """Kill an intake worker while it holds messages; return when, and how many it held."""
    for _ in range(TRIES):
        (worker,) = system.start("intake")
        wait_until(lambda: hands(broker) > 0, 30)
        worker.kill()
        if held := hands(broker):
            return time.monotonic(), held
    return pytest.fail("it held nothing whenever it was killed")


def hands(broker: "redis.Redis") -> int:
    """Return how many messages workers hold that keep them apart."""
    return sum(int(broker.hlen(key)) for key in broker.scan_iter(match="unacked.intake:*"))  # type: ignore[arg-type]


def in_hands_of_others(broker: "redis.Redis", pid: int) -> list[str]:
    """Return the hands that are not this process's."""
    return [key for key in broker.scan_iter(match="unacked.intake:*") if f".{pid}." not in key]
