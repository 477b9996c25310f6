"""A gateway that ends and comes back: whoever waits through it notices nothing but the time."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from second_opinion import Client
from second_opinion.schemas.job import Job, JobState
from tests.acceptance.conftest import System, wait_until
from tests.conftest import Servers
from tests.integration.http.conftest import system_of

START_SECONDS = 60.0


@pytest.fixture
def system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Servers with a collection and no worker: what is asked stays queued."""
    with system_of(servers, tmp_path_factory.mktemp("system")) as made, made.client() as client:
        client.set_collection("handbook")
        yield made


@contextmanager
def gateway(system: System, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "second_opinion.gateway", "serve", "--port", str(port)],
        env={**os.environ, **system.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _lives(port) or process.poll() is not None, START_SECONDS)
        assert process.poll() is None
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _lives(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1.0).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["asked", "killed"])
def test_a_waiter_outlives_its_gateway(system: System, end: signal.Signals) -> None:
    """The wait goes on at the gateway that comes after, and hears of the end; the question was asked once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    heard: list[Job] = []
    with Client.connect(f"http://127.0.0.1:{port}") as client:
        with gateway(system, port) as first:
            job = client.submit_query("who approves refunds?", collection="handbook", job_id="mine")
            waiter = threading.Thread(target=lambda: heard.append(client.wait(job.job_id, timeout=120.0)), daemon=True)
            waiter.start()
            waiter.join(1.0)
            assert waiter.is_alive()
            first.send_signal(end)
            first.wait(30)
        with gateway(system, port):
            again = client.submit_query("who approves refunds?", collection="handbook", job_id="mine")
            assert again.job_id == job.job_id
            assert waiter.is_alive()
            with system.client() as beside:
                beside.cancel(job.job_id)
            waiter.join(30.0)
    assert [one.state for one in heard] == [JobState.CANCELLED]
