"""What is known of a stack's processes. It is the file `status.json`, written by the supervisor."""

from enum import StrEnum
from typing import Final, Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from second_opinion.ops.state import StateFolder
from second_opinion.pipeline.whole_files import write_whole

SAME_MOMENT_SECONDS: Final = 1.0


class PartState(StrEnum):
    """Where a part is in its life.

    `silent` is a process that lives but no longer answers; `lost` one that lives without a supervisor.
    """

    PLANNED = "planned"
    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    LOST = "lost"


class ProcessIdentity(BaseModel):
    """A process by its number and the moment it began, as numbers are given out again."""

    model_config = ConfigDict(frozen=True)

    pid: int
    began: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of the process that has number `pid` now, or None if there is none."""
        try:
            return cls(pid=pid, began=psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            process = psutil.Process(self.pid)
            same = bool(abs(process.create_time() - self.began) < SAME_MOMENT_SECONDS)
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


class PartStatus(BaseModel):
    """One part of the stack.

    Attributes:
        name: `elasticsearch`, `redis`, or a worker's name.
        state: Where it is in its life.
        process: Its process, None when it has none.
        restarts: How often it was started again since the stack came up.
        last_exit: How it last ended, in words.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    state: PartState
    process: ProcessIdentity | None = None
    restarts: int = 0
    last_exit: str = ""


class StackStatus(BaseModel):
    """The whole stack.

    Attributes:
        supervisor: The process that watches over the parts.
        stopping: It was told to stop and has not finished.
        parts: In the order in which they start.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    supervisor: ProcessIdentity | None = None
    stopping: bool = False
    parts: tuple[PartStatus, ...] = ()

    @classmethod
    def read(cls, state: StateFolder) -> Self:
        """Return what the state folder says; an empty status when it says nothing readable."""
        try:
            return cls.model_validate_json(state.status_file.read_bytes())
        except (OSError, ValidationError):
            return cls()

    def write(self, state: StateFolder) -> None:
        """Put the status into the state folder."""
        write_whole(state.status_file, self.model_dump_json(indent=2) + "\n")

    @property
    def running(self) -> bool:
        """Whether the supervisor runs and is not about to stop."""
        return self.supervisor is not None and self.supervisor.alive() and not self.stopping

    def part(self, name: str) -> PartStatus | None:
        """Return the part of this name."""
        return next((part for part in self.parts if part.name == name), None)
