"""Real servers and one real worker process of each role that callers need, for this folder's tests."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from redis import Redis

from second_opinion import Client
from second_opinion.workers.settings import Settings
from tests.conftest import Servers

ROLES = ("intake", "extract", "index", "retrieve", "rerank", "maintenance")
BROKER, JOBS, CACHE = 13, 14, 15
READY_SECONDS = 120.0


@dataclass(frozen=True)
class System:
    """A running system, as its users see it."""

    environment: dict[str, str]

    @property
    def settings(self) -> Settings:
        """The settings of all its processes."""
        given = {name.removeprefix("OPINION_").lower(): value for name, value in self.environment.items()}
        return Settings.model_validate(given)

    def start(self, *arguments: str, **options: int) -> "subprocess.Popen[bytes]":
        """Start the command line and return its process."""
        return subprocess.Popen(
            [sys.executable, "-m", "second_opinion.gateway", *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A shell starts its background jobs deaf to SIGINT, and children inherit that.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread holds a lock here
            **options,  # type: ignore[call-overload]
        )

    def opinion(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run the command line to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(stdin.encode(), timeout=180)
        return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="package")
def bare_system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Servers without workers."""
    redis = servers.redis_url.rpartition("/")[0] if servers.redis_url.count("/") > 2 else servers.redis_url
    environment = {
        "OPINION_STATE_DIR": str(tmp_path_factory.mktemp("state")),
        "OPINION_ELASTICSEARCH_URL": servers.elasticsearch_url,
        "OPINION_BROKER_URL": f"{redis}/{BROKER}",
        "OPINION_JOBS_URL": f"{redis}/{JOBS}",
        "OPINION_CACHE_URL": f"{redis}/{CACHE}",
        "OPINION_INDEX_PREFIX": f"gateway-{uuid.uuid4().hex[:8]}",
        "OPINION_RECONCILE_SECONDS": "1",
    }
    databases = [Redis.from_url(f"{redis}/{number}") for number in (BROKER, JOBS, CACHE)]
    for database in databases:
        database.flushdb()
    yield System(environment)
    for database in databases:
        database.flushdb()
        database.close()
    store = Elasticsearch(servers.elasticsearch_url)
    for index in store.indices.get(index=f"{environment['OPINION_INDEX_PREFIX']}-*", expand_wildcards="all"):
        store.indices.delete(index=index)
    store.close()


@pytest.fixture(scope="package")
def system(bare_system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Servers with one worker of each role, and the samples ingested."""
    folder = tmp_path_factory.mktemp("workers")
    workers = [_worker(bare_system, role, folder) for role in ROLES]
    try:
        _wait_ready([folder / f"{role}.ready" for role in ROLES], workers)
        done = bare_system.opinion("ingest", "--samples")
        assert done.returncode == 0, done.stderr
        yield bare_system
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            try:
                worker.wait(30)
            except subprocess.TimeoutExpired:
                worker.kill()


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    """A client of the running system."""
    with Client(system.settings) as made:
        yield made


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until `condition` holds, or fail."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.1)


def _worker(system: System, role: str, folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / f"{role}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "second_opinion.gateway", "worker", "--role", role],
            env={**os.environ, **system.environment, "OPINION_READY_FILE": str(folder / f"{role}.ready")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_ready(files: list[Path], workers: "list[subprocess.Popen[bytes]]") -> None:
    until = time.monotonic() + READY_SECONDS
    while not all(file.exists() for file in files):
        ended = [worker.args for worker in workers if worker.poll() is not None]
        assert not ended, f"ended: {ended}"
        assert time.monotonic() < until, f"not ready: {[file.name for file in files if not file.exists()]}"
        time.sleep(0.1)
