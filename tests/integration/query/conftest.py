"""A Redis server that a test may end and start again."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from second_opinion.ops.ports import free_port
from second_opinion.ops.redis_server import RedisServer, find_redis_program


@dataclass
class OwnRedis:
    """A server of one test's own."""

    server: RedisServer
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def url(self) -> str:
        """Where its job database is."""
        return self.server.url(1)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.server.prepare()
        self.process = subprocess.Popen(self.server.command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10.0
        while not self.server.answers():
            assert time.monotonic() < until, "Redis does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A running server that keeps its data over a crash."""
    redis = OwnRedis(RedisServer(folder=tmp_path / "redis", program=find_redis_program(), port=free_port()))
    redis.start()
    yield redis
    redis.kill()
