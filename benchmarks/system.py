"""What benchmarks of the running system need: servers, workers as processes of their own, and what these use.

Without `--elasticsearch-url` and `--redis-url` a local stack is started for the benchmark alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from second_opinion.ops.stack import LocalStack
from second_opinion.pipeline.adapters.elasticsearch import Connection
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.workers.routing import ROLES, Role
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_connection

READY_SECONDS = 300.0
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class System:
    """Servers and where the workers of a benchmark keep what is theirs.

    Attributes:
        told: Settings that every worker is told, by field name.
    """

    folder: Path
    told: Mapping[str, str]

    def settings(self, **more: Any) -> Settings:
        """Return settings for these servers."""
        return Settings.model_validate({**self.told, "state_dir": self.folder, **more})


@dataclass
class Worker:
    """A worker that consumes.

    Attributes:
        seconds: From the start of its process until it consumed; `cpu_seconds` is what it had used by then.
        megabytes: Resident memory at that moment.
    """

    process: psutil.Popen
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    megabytes: float = 0.0
    ready_file: Path = field(default_factory=Path)

    def cpu(self) -> float:
        """Return CPU seconds used by it and its children."""
        times = [self.process.cpu_times(), *(child.cpu_times() for child in self.process.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def resident(self) -> float:
        """Return the megabytes that it holds now, its children included."""
        held = [self.process, *self.process.children(recursive=True)]
        return sum(one.memory_info().rss for one in held) / MEGABYTE


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Let the caller name servers that run already."""
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already")
    parser.add_argument("--redis-url", help="a database of a Redis that runs already, for this benchmark alone")


@contextmanager
def servers(options: argparse.Namespace) -> Iterator[System]:
    """Give servers for the time of a benchmark; what it made is removed behind it."""
    with tempfile.TemporaryDirectory(prefix="second-opinion-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        if options.elasticsearch_url and options.redis_url:
            urls = dict.fromkeys(("broker_url", "jobs_url", "cache_url"), options.redis_url)
            prefix = f"bench-{uuid.uuid4().hex[:8]}"
            system = System(folder, {"elasticsearch_url": options.elasticsearch_url, "index_prefix": prefix, **urls})
            try:
                yield system
            finally:
                _clean(system.settings())
            return
        stack = LocalStack(folder, elasticsearch_port=0, redis_port=0)
        plan = stack.up({}, progress=lambda line: print(line, file=sys.stderr))
        names = ("elasticsearch_url", "broker_url", "jobs_url", "cache_url")
        try:
            yield System(folder, {name: str(getattr(plan, name)) for name in names})
        finally:
            stack.down()


@contextmanager
def workers(
    system: System, roles: Sequence[Role], *, python: str = sys.executable, **more: str
) -> Iterator[dict[str, Worker]]:
    """Run one worker of each role; `more` are further settings by field name."""
    with ExitStack() as running:
        yield {role: running.enter_context(_worker(system, role, python, more)) for role in roles}


@contextmanager
def _worker(system: System, role: Role, python: str, more: Mapping[str, str]) -> Iterator[Worker]:
    ready_file = system.folder / f"ready-{role}-{uuid.uuid4().hex[:6]}"
    told = {**system.told, **more, "state_dir": str(system.folder), "ready_file": str(ready_file)}
    environment = {**os.environ, **{f"OPINION_{name.upper()}": value for name, value in told.items()}}
    command = [python, "-m", "second_opinion.gateway", "worker", "--role", role]
    with (system.folder / f"{role}.log").open("ab") as log:
        begun = time.perf_counter()
        worker = Worker(psutil.Popen(command, env=environment, stdout=log, stderr=log), ready_file=ready_file)
    try:
        _await_ready(worker, begun, system.folder / f"{role}.log")
        yield worker
    finally:
        worker.process.terminate()
        try:
            worker.process.wait(timeout=40)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            worker.process.kill()
            worker.process.wait()


def _await_ready(worker: Worker, begun: float, log: Path) -> None:
    while not worker.ready_file.exists():
        if worker.process.poll() is not None or time.perf_counter() - begun > READY_SECONDS:
            raise SystemExit(f"a worker did not start:\n{log.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.01)
    worker.seconds = time.perf_counter() - begun
    worker.cpu_seconds, worker.megabytes = worker.cpu(), worker.resident()


def elasticsearch_cpu(connection: Connection) -> float:
    """Return the CPU seconds that Elasticsearch has used so far."""
    nodes = connection.reads.nodes.stats(metric="process")["nodes"].values()
    return sum(float(node["process"]["cpu"]["total_in_millis"]) for node in nodes) / 1_000


def _clean(settings: Settings) -> None:
    connection = open_connection(settings)
    made = connection.reads.indices.get(index=f"{settings.index_prefix}-*", expand_wildcards="all")
    if made.body:
        connection.writes.indices.delete(index=list(made.body))
    connection.close()
    client = connect(settings.jobs_url.get_secret_value(), timeout=5.0)
    keys = [*client.scan_iter(match=f"{settings.index_prefix}:*"), *(spec.queue for spec in ROLES.values())]
    client.delete(*keys)
    client.close()
