"""The state folder: the one place where a stack keeps its data, its logs and what is known of its processes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT_STATE: Final = Path("/var/lib/second-opinion")
ROOT_PROGRAMS: Final = Path("/var/cache/second-opinion")


@dataclass(frozen=True)
class StateFolder:
    """Names within a state folder."""

    root: Path

    @property
    def stack_file(self) -> Path:
        """The plan of the running stack and its addresses; absent when the stack is down."""
        return self.root / "stack.json"

    @property
    def status_file(self) -> Path:
        """What the supervisor last knew of each part; absent when the stack is down."""
        return self.root / "status.json"

    @property
    def command_lock(self) -> Path:
        """Held by an `up` or a `down` while it works."""
        return self.root / "command.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.root / "supervisor.lock"

    @property
    def logs(self) -> Path:
        """One log file a part."""
        return self.root / "logs"

    @property
    def elasticsearch(self) -> Path:
        """Elasticsearch's configuration and data."""
        return self.root / "elasticsearch"

    @property
    def redis(self) -> Path:
        """Redis's configuration and data."""
        return self.root / "redis"

    @property
    def ready(self) -> Path:
        """One file a worker that is ready, touched while it consumes."""
        return self.root / "ready"

    def ready_file(self, worker: str) -> Path:
        """Return the file by which `worker` says that it is ready."""
        return self.ready / worker

    def log_file(self, part: str) -> Path:
        """Return the log of `part`."""
        return self.logs / f"{part}.log"


def default_programs_folder() -> Path:
    """Return the folder where stacks share unpacked programs; not root's home, which other accounts cannot enter."""
    return ROOT_PROGRAMS if os.geteuid() == 0 else Path.home() / ".cache" / "second-opinion"
