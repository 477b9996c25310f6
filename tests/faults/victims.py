"""What is killed: worker processes and servers of the storm's own, each started again at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from second_opinion.ops.ports import free_port
from second_opinion.ops.redis_server import RedisServer, find_redis_program
from second_opinion.ops.stack import LocalStack
from second_opinion.ops.status import PartState, PartStatus
from second_opinion.workers.routing import Role

READY_SECONDS: Final = 300.0
STOP_SECONDS: Final = 45.0


class OwnRedis:
    """A Redis with an append-only file, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._server = RedisServer(folder=folder, program=find_redis_program(), port=free_port())
        self._server.prepare()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int) -> str:
        """Return the address of one of its databases."""
        return self._server.url(database)

    def start(self) -> None:
        """Start it and wait until it has read its file."""
        self._process = subprocess.Popen(self._server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + READY_SECONDS
        while not self._server.answers():
            assert time.monotonic() < until, "Redis does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def lose_everything(self) -> None:
        """Remove what it kept on the disk; only while it does not run."""
        for path in sorted(self._server.folder.rglob("*"), reverse=True):
            if path.is_file() and path.name != "redis.conf":
                path.unlink()


class OwnElasticsearch:
    """The Elasticsearch of a local stack, whose supervisor starts it again."""

    def __init__(self, servers: LocalStack) -> None:
        self._servers = servers

    def kill(self) -> None:
        """End it with SIGKILL and wait until another has read what is on the disk."""
        before = self._part().process
        assert before is not None, "Elasticsearch does not run"
        os.killpg(before.pid, signal.SIGKILL)
        until = time.monotonic() + READY_SECONDS
        while (now := self._part()).process in {None, before} or now.state is not PartState.READY:
            assert time.monotonic() < until, "Elasticsearch does not come back"
            time.sleep(0.1)

    def _part(self) -> PartStatus:
        return next(part for part in self._servers.status().parts if part.name == "elasticsearch")


@dataclass(slots=True)
class WorkerProcess:
    """A worker of one role, started again and again in the same place."""

    role: Role
    folder: Path
    environment: Mapping[str, str]
    module: str = "second_opinion.gateway"
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    exits: list[int] = field(default_factory=list)

    @property
    def log_file(self) -> Path:
        """Where all its processes write."""
        return self.folder / f"{self.role}.log"

    @property
    def ready_file(self) -> Path:
        """Made by the process once it consumes."""
        return self.folder / f"{self.role}-{self.starts}.ready"

    @property
    def is_ready(self) -> bool:
        """Whether it lives and has begun to consume."""
        return self.process is not None and self.process.poll() is None and self.ready_file.exists()

    def start(self) -> None:
        """Start a process."""
        self.starts += 1
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "worker", "--role", self.role],
                env={**os.environ, **self.environment, "OPINION_READY_FILE": str(self.ready_file)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it consumes."""
        until = time.monotonic() + READY_SECONDS
        while not self.is_ready:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.role} ended at its start: {self.tail()}"
            assert time.monotonic() < until, f"{self.role} does not consume: {self.tail()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it and its children with SIGKILL."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def signal(self, which: signal.Signals) -> None:
        """Send a signal to it and its children."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, which)

    def stop(self) -> None:
        """Ask it to end as an operator does, and see that it does."""
        if self.process is None:
            return
        self.process.terminate()
        grace = float(self.environment.get("OPINION_SHUTDOWN_GRACE_SECONDS", 0.0))
        try:
            self.process.wait(max(STOP_SECONDS, grace + 15.0))
        except subprocess.TimeoutExpired:
            self.kill()
        if self.process.returncode:
            self.exits.append(self.process.returncode)

    def tend(self) -> None:
        """Start it again if it has ended by itself, as a supervisor does."""
        if self.process is not None and self.process.poll() is not None:
            self.exits.append(self.process.returncode)
            self.start()

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")[-3_000:]
