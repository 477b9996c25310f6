"""A whole system for each acceptance module: servers of their own, and worker processes that a test starts and ends."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from second_opinion import Client
from second_opinion.pipeline.adapters.onnx_kernel import saturates
from second_opinion.workers.parts import Stores
from second_opinion.workers.routing import ROLES, Role
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_elasticsearch
from tests.conftest import Servers

READY_SECONDS = 120.0
STOP_SECONDS = 45.0
COMMAND_SECONDS = 600.0
SLOWNESS = 4.0 if saturates() else 1.0
"""What is waited for takes this many times as long here; without VNNI a pair takes about five times as long."""
LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# Of the tests' Redis; others keep away from them, and so do other lanes, should they share one.
BROKER_DATABASE, JOBS_DATABASE = (
    int(one) + 2 * LANE for one in os.environ.get("OPINION_TEST_REDIS_DATABASES", "8,9").split(",")
)


@dataclass(slots=True)
class Worker:
    """One worker process."""

    role: Role
    process: subprocess.Popen[bytes]
    log_file: Path
    ready_file: Path

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def wait_ready(self) -> None:
        """Wait until it consumes."""
        wait_until(lambda: self.ready_file.exists() or self.process.poll() is not None, READY_SECONDS, self._tail)
        assert self.process.poll() is None, self._tail()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it and its children with SIGKILL, as the kernel does when memory is short."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def _tail(self) -> str:
        return f"{self.role}: {self.log[-3_000:]}"


@dataclass(slots=True)
class System:
    """Servers and workers of one test module."""

    folder: Path
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The settings that all its processes have."""
        given = {key.removeprefix("OPINION_").lower(): value for key, value in self.environment.items()}
        return Settings.model_validate(given)

    def client(self) -> Client:
        """Return a client of this system."""
        return Client(self.settings)

    @contextmanager
    def stores(self) -> Iterator[Stores]:
        """Give the stores in Elasticsearch, for as long as a look takes."""
        opened = open_elasticsearch(self.settings)
        try:
            yield opened
        finally:
            opened.connection.close()

    def start(self, *roles: Role) -> list[Worker]:
        """Start one worker of each role and wait until all consume."""
        started = [self._spawn(role) for role in roles]
        for worker in started:
            worker.wait_ready()
        return started

    def start_all(self) -> None:
        """Start one worker of every role."""
        self.start(*ROLES)

    def of(self, role: Role) -> list[Worker]:
        """Return the running workers of a role."""
        return [worker for worker in self.workers if worker.role == role and worker.process.poll() is None]

    def stop_all(self) -> None:
        """End every worker."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.terminate()
        for worker in self.workers:
            try:
                worker.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()

    def remove_indices(self) -> None:
        """Remove what the system kept in Elasticsearch."""
        with self.stores() as stores:
            indices = stores.connection.reads.indices
            made = indices.get(index=f"{self.settings.index_prefix}-*", expand_wildcards="all")
            if made.body:
                stores.connection.writes.indices.delete(index=list(made.body))

    def opinion(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command line as a user does."""
        return subprocess.run(
            [sys.executable, "-m", "second_opinion.gateway", *arguments],
            env={**os.environ, **self.environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def _spawn(self, role: Role) -> Worker:
        name = f"{role}-{len(self.workers)}"
        log_file, ready_file = self.folder / f"{name}.log", self.folder / f"{name}.ready"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "second_opinion.gateway", "worker", "--role", role],
                env={**os.environ, **self.environment, "OPINION_READY_FILE": str(ready_file)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker = Worker(role=role, process=process, log_file=log_file, ready_file=ready_file)
        self.workers.append(worker)
        return worker


def wait_until(condition: Callable[[], bool], seconds: float, explain: Callable[[], str] = lambda: "") -> None:
    """Wait until `condition` holds; fail with what `explain` says after `seconds`, or more on a slow processor."""
    seconds *= SLOWNESS
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"not within {seconds:.0f} s. {explain()}")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def system(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[System]:
    """A system with indices of its own and no worker yet; leases and grace times are short, so that rescue is too."""
    broker, jobs = (redis_database(servers.redis_url, number) for number in (BROKER_DATABASE, JOBS_DATABASE))
    for url in (broker, jobs):
        redis.Redis.from_url(url).flushdb()
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    environment = {
        "OPINION_STATE_DIR": str(tmp_path_factory.mktemp("state")),
        "OPINION_ELASTICSEARCH_URL": servers.elasticsearch_url,
        "OPINION_BROKER_URL": broker,
        "OPINION_JOBS_URL": jobs,
        "OPINION_CACHE_URL": jobs,
        "OPINION_INDEX_PREFIX": f"a{uuid.uuid4().hex[:6]}-{module}",
        "OPINION_LEASE_SECONDS": "4",
        "OPINION_JOB_LEASE_SECONDS": "3",
        "OPINION_RECONCILE_SECONDS": "1",
        "OPINION_SWEEP_SECONDS": "3",
        "OPINION_SWEEP_GRACE_SECONDS": "8",
        "OPINION_LOG_FORMAT": "json",
    }
    made = System(folder=tmp_path_factory.mktemp("workers"), environment=environment)
    yield made
    made.stop_all()
    made.remove_indices()


def redis_database(url: str, number: int) -> str:
    """Return the address of another database of the same Redis."""
    return urlsplit(url)._replace(path=f"/{number}").geturl()
