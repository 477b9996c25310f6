"""A part of the stack as a process: how it is started, when it counts as ready, how it ends."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from second_opinion.ops.account import Account
from second_opinion.ops.status import PartState, PartStatus, ProcessIdentity

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
CALM_SECONDS: Final = 60.0
CHECK_SECONDS: Final = 5.0


@dataclass(frozen=True)
class PartSpec:
    """How to run a part.

    Attributes:
        name: Its name, which is also its log's.
        command: The program and its arguments; it stays in the foreground.
        log: Where its output goes.
        folder: Where it runs.
        ready: Says whether it does its work; asked while its process lives, so it must not take long.
        is_server: Servers stop after all workers have stopped.
        needs: Parts that have to be ready before this one is first started.
        environment: Its whole environment; the supervisor's own when None.
        account: Who it runs as; the supervisor's own account when None.
        ready_file: Made by the part when it is ready; removed before each start.
        grace_seconds: How long it may take to stop before it is killed.
        silence_seconds: How long it may live without doing its work before it is started anew; None is for ever.
    """

    name: str
    command: list[str]
    log: Path
    folder: Path
    ready: Callable[[], bool]
    is_server: bool
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    account: Account | None = None
    ready_file: Path | None = None
    grace_seconds: float = 20.0
    silence_seconds: float | None = None


class Part:
    """One part: a small state machine that `tick` drives."""

    def __init__(self, spec: PartSpec) -> None:
        self.spec = spec
        self.state = PartState.PLANNED
        self.restarts = 0
        self.last_exit = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: ProcessIdentity | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._start_at = 0.0
        self._ready_at = 0.0
        self._heard_at = 0.0
        self._checked_at = 0.0

    def status(self) -> PartStatus:
        """Return what is known of this part."""
        return PartStatus(
            name=self.spec.name,
            state=self.state,
            process=self._identity,
            restarts=self.restarts,
            last_exit=self.last_exit,
        )

    def tick(self) -> None:
        """Start the part if it is due, notice its end, ask whether it has become ready."""
        if self.state in {PartState.PLANNED, PartState.RESTARTING}:
            if time.monotonic() >= self._start_at:
                self._start()
        elif self.ended():
            self._plan_restart()
        elif self.state is PartState.STARTING:
            if self.spec.ready():
                self.state = PartState.READY
                self._ready_at = self._heard_at = self._checked_at = time.monotonic()
        elif time.monotonic() - self._checked_at >= CHECK_SECONDS:
            self._check()

    def ended(self) -> bool:
        """Whether the part has no living process; what is left of its process group is killed."""
        if self._process is None:
            return True
        code = self._process.poll()
        if code is None:
            return False
        self._kill_group()
        self.last_exit = describe_exit(code)
        self._process = None
        self._identity = None
        if self.state is PartState.STOPPING:
            self.state = PartState.STOPPED
        return True

    def ask_to_stop(self) -> None:
        """Ask the process to finish; a part without one is stopped at once."""
        if self._process is None:
            self.state = PartState.STOPPED
            return
        self.state = PartState.STOPPING
        self._process.terminate()

    def kill(self) -> None:
        """End the process and all its children now."""
        if self._process is not None:
            self._kill_group()
            self._process.wait()
            self.ended()

    def _start(self) -> None:
        try:
            if self.spec.ready_file is not None:
                self.spec.ready_file.unlink(missing_ok=True)
            with self.spec.log.open("ab") as log:
                self._process = self._open_process(log)
        except OSError as error:
            self.last_exit = f"cannot be started: {error.filename or self.spec.command[0]}: {error.strerror}"
            self._pause_then_restart()
            return
        self._identity = ProcessIdentity.of(self._process.pid)
        self.state = PartState.STARTING

    def _open_process(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        account = self.spec.account
        return subprocess.Popen(
            self.spec.command,
            cwd=self.spec.folder,
            env=self.spec.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=account.user if account else None,
            group=account.group if account else None,
            extra_groups=[] if account else None,
            umask=0o022,
        )

    def _check(self) -> None:
        self._checked_at = time.monotonic()
        if self.spec.ready():
            self.state = PartState.READY
            self._heard_at = self._checked_at
            return
        self.state = PartState.SILENT
        limit = self.spec.silence_seconds
        if limit is not None and self._checked_at - self._heard_at > limit:
            self.kill()
            self.last_exit = f"ended after {limit:.0f} s of silence"
            self._plan_restart()

    def _plan_restart(self) -> None:
        was_calm = self._ready_at > 0 and time.monotonic() - self._ready_at > CALM_SECONDS
        if was_calm:
            self._pause = FIRST_PAUSE_SECONDS
        self._ready_at = 0.0
        self._pause_then_restart()

    def _pause_then_restart(self) -> None:
        self.restarts += 1
        self.state = PartState.RESTARTING
        self._start_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    def _kill_group(self) -> None:
        if self._process is not None:
            kill_group(self._process.pid, signal.SIGKILL)


def kill_group(leader: int, with_signal: signal.Signals) -> None:
    """Send a signal to the process group that `leader` began; one that is gone already is no error."""
    try:
        os.killpg(leader, with_signal)
    except (ProcessLookupError, PermissionError):
        return


def describe_exit(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
