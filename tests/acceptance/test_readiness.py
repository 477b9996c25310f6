"""The ready file is touched by workers that can take messages, and by no others."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import System, Worker, wait_until
from tests.faults.victims import OwnRedis

FRESH_SECONDS = 9.0
"""The file is touched every five seconds."""
NOTICE_SECONDS = 30.0
BACK_SECONDS = 90.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OwnRedis]:
    """A Redis that this test may kill."""
    made = OwnRedis(tmp_path / "redis")
    made.start()
    yield made
    made.kill()


def age(worker: Worker) -> float:
    """Return how long ago the worker said that it consumes."""
    return time.time() - worker.ready_file.stat().st_mtime


def test_a_frozen_worker_is_not_ready(system: System) -> None:
    """A worker that stands still touches nothing; what the file says of it is true within its age."""
    (worker,) = system.start("intake")
    wait_until(lambda: age(worker) < FRESH_SECONDS, FRESH_SECONDS)
    worker.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: age(worker) > 2 * FRESH_SECONDS, NOTICE_SECONDS)
    finally:
        worker.kill()


def test_a_worker_without_its_broker_is_not_ready_and_comes_back(system: System, broker: OwnRedis) -> None:
    """Redis is killed: the process lives on, and its file grows old; Redis is back, and the file is young again."""
    system.environment = {**system.environment, "OPINION_BROKER_URL": broker.url(0), "OPINION_JOBS_URL": broker.url(1)}
    (worker,) = system.start("intake")
    wait_until(lambda: age(worker) < FRESH_SECONDS, FRESH_SECONDS)
    broker.kill()
    wait_until(lambda: age(worker) > 2 * FRESH_SECONDS, NOTICE_SECONDS)
    assert worker.process.poll() is None
    broker.start()
    wait_until(lambda: age(worker) < FRESH_SECONDS, BACK_SECONDS, lambda: worker.log[-2_000:])
    worker.stop()
