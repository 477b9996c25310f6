"""One Elasticsearch node on the loopback interface: its configuration, its command, and whether it answers."""

import json
import shutil
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final

import psutil

from second_opinion.ops.account import Account, check_reachable
from second_opinion.ops.distribution import Distribution
from second_opinion.ops.filesystem import make_folder, require_space
from second_opinion.ops.ports import LOOPBACK
from second_opinion.schemas.errors import StackError

SPACE_NEEDED: Final = 2_000
HEALTH_SECONDS: Final = 2.0
SMALL_MACHINE_BYTES: Final = 8 * 1024**3

SETTINGS: Final = """\
# Written by `opinion up` at each start; changes made here are lost.
cluster.name: second-opinion
node.name: local
path.data: {folder}/data
path.logs: {folder}/logs
# Where a repository of snapshots of type "fs" may lie.
path.repo: {folder}/snapshots
http.host: {host}
http.port: {port}
transport.host: {host}
transport.port: 0
discovery.type: single-node
# Nothing but this machine can connect, as the addresses above are loopback.
xpack.security.enabled: false
# A developer's disk is often nine tenths full and yet has plenty of room: count what is free, not what is used.
cluster.routing.allocation.disk.watermark.low: 1gb
cluster.routing.allocation.disk.watermark.high: 750mb
cluster.routing.allocation.disk.watermark.flood_stage: 500mb
cluster.routing.allocation.disk.watermark.flood_stage.frozen: 500mb
"""

LOGGING: Final = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %marker%m%consoleException%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.header_warning.type = HeaderWarningAppender
appender.header_warning.name = header_warning
logger.deprecation.name = org.elasticsearch.deprecation
logger.deprecation.level = warn
logger.deprecation.appenderRef.header_warning.ref = header_warning
logger.deprecation.additivity = false
"""


@dataclass(frozen=True)
class ElasticsearchServer:
    """What is needed to start a node and to talk to it.

    Attributes:
        folder: Its configuration, data and temporary files.
        home: The distribution.
        java_home: The JDK it runs on.
        port: Where it listens on loopback.
        heap: Size of the Java heap, such as `1g`.
        java_options: More options for Java; they hold from the next `prepare`.
    """

    folder: Path
    home: Path
    java_home: Path
    port: int
    heap: str
    java_options: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def command(self) -> list[str]:
        """The command that runs the node in the foreground."""
        return [str(Distribution(self.home).program)]

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the node: nothing of the caller's slips in."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.folder / "tmp"),
            "ES_JAVA_HOME": str(self.java_home),
            "ES_PATH_CONF": str(self.folder / "config"),
            "ES_TMPDIR": str(self.folder / "tmp"),
            # For the launcher alone, which lives to start the node: it starts in half the time.
            "CLI_JAVA_OPTS": "-XX:TieredStopAtLevel=1",
        }

    def prepare(self, account: Account | None) -> None:
        """Write the configuration and see that `account` (None for the caller's own) can reach all it needs.

        Raises:
            StateUnusable: A folder cannot be written or reached, or the disk is full.
        """
        require_space(make_folder(self.folder), SPACE_NEEDED)
        config = self.folder / "config"
        # Made anew in a folder of the caller's own: root never writes to where the lent account could plant a link.
        if config.exists():
            shutil.rmtree(config)
        folders = [make_folder(self.folder / name) for name in ("config", "data", "logs", "snapshots", "tmp")]
        self._configure(config)
        if account is not None:
            for folder in folders:
                account.own(folder)
            for path in (*folders, self.home, self.java_home):
                check_reachable(path, account)

    def _configure(self, config: Path) -> None:
        settings = SETTINGS.format(folder=self.folder, host=LOOPBACK, port=self.port)
        java = [f"-Xms{self.heap}", f"-Xmx{self.heap}", "-Xlog:disable", "-Xlog:all=warning:stderr", *self.java_options]
        (config / "elasticsearch.yml").write_text(settings, encoding="utf-8")
        (config / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        shutil.copyfile(self.home / "config" / "jvm.options", config / "jvm.options")
        options = make_folder(config / "jvm.options.d")
        (options / "stack.options").write_text("\n".join(java) + "\n", encoding="utf-8")

    def answers(self) -> bool:
        """Whether the node serves requests and its indices are usable."""
        address = f"{self.url}/_cluster/health?timeout=1s"
        try:
            with urllib.request.urlopen(address, timeout=HEALTH_SECONDS) as answer:  # noqa: S310  (our own http address)
                return bool(json.load(answer)["status"] != "red")
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            return False


def default_heap() -> str:
    """Return the heap for this machine's memory: 512 MB below 8 GB, else 1 GB."""
    return "512m" if psutil.virtual_memory().total < SMALL_MACHINE_BYTES else "1g"


def check_heap(heap: str) -> str:
    """Return `heap` if Java takes it as a size.

    Raises:
        StackError: It is no number followed by m or g.
    """
    if not (heap[:-1].isdigit() and heap[-1:].lower() in {"m", "g"} and int(heap[:-1]) > 0):
        raise StackError(f"{heap!r} is no size for Elasticsearch's heap.", hint="Give a number and m or g, such as 1g.")
    return heap.lower()
