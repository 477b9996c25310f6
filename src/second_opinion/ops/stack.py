"""The local stack as one thing: up, down, status."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from second_opinion.ops.account import server_account
from second_opinion.ops.distribution import install_distribution
from second_opinion.ops.elasticsearch_server import ElasticsearchServer, check_heap, default_heap
from second_opinion.ops.filesystem import is_locked, locked, make_folder
from second_opinion.ops.jdk import find_jdk
from second_opinion.ops.logs import last_lines
from second_opinion.ops.parts import kill_group
from second_opinion.ops.plan import StackPlan
from second_opinion.ops.ports import choose_port
from second_opinion.ops.redis_server import RedisServer, find_redis_program
from second_opinion.ops.state import StateFolder, default_programs_folder
from second_opinion.ops.status import PartState, PartStatus, StackStatus
from second_opinion.schemas.errors import PartFailed, StackError

ELASTICSEARCH_PORT: Final = 9280
REDIS_PORT: Final = 6389
GATEWAY_PORT: Final = 8100
READY_SECONDS: Final = 180.0
STOP_SECONDS: Final = 120.0
ORPHAN_SECONDS: Final = 20.0
COMMAND_SECONDS: Final = 300.0
LOG_LINES: Final = 12
LOG_LINES_READ: Final = 100
JAVA_FRAME: Final = re.compile(r"\s+(at |\.\.\. \d+ more)")
LOG_CHARACTERS: Final = 1_600
POLL_SECONDS: Final = 0.1


def _silent(_message: str) -> None:
    """Take a progress message and say nothing."""


class LocalStack:
    """Real Elasticsearch, Redis and workers under one state folder. Several stacks can live side by side.

    Args:
        state_dir: Where the stack keeps everything of its own.
        elasticsearch_port: 0 takes any free port; None the usual one, or a free one when that is taken.
        redis_port: Likewise.
        gateway_port: Likewise.
        heap: Java heap of Elasticsearch, such as `1g`; by the machine's memory when None.
        java_homes: JDKs to try before the usual places.
        java_options: More options for Elasticsearch's Java.
        programs: Folder for unpacked programs, shared between stacks.
    """

    def __init__(  # noqa: PLR0913 - options by name, each with a default
        self,
        state_dir: Path,
        *,
        elasticsearch_port: int | None = None,
        redis_port: int | None = None,
        gateway_port: int | None = None,
        heap: str | None = None,
        java_homes: Iterable[Path] = (),
        java_options: Iterable[str] = (),
        programs: Path | None = None,
    ) -> None:
        self.state = StateFolder(Path(state_dir).absolute())
        self._elasticsearch_port = elasticsearch_port
        self._redis_port = redis_port
        self._gateway_port = gateway_port
        self._heap = check_heap(heap) if heap else default_heap()
        self._java_homes = tuple(java_homes)
        self._java_options = tuple(java_options)
        self._programs = programs or default_programs_folder()

    def install(self, progress: Callable[[str], None] = _silent) -> str:
        """Fetch and build what the servers need, without starting them; say in a few words what they are.

        Raises:
            StackError: Something is missing or cannot be fetched.
        """
        jdk, redis_program = find_jdk(self._java_homes), find_redis_program()
        distribution = install_distribution(self._programs, jdk, progress)
        return f"{distribution.home.name} on JDK {jdk.version} ({jdk.home}), {redis_program}"

    def up(
        self, workers: Mapping[str, int], progress: Callable[[str], None] = _silent, *, gateway: bool = False
    ) -> StackPlan:
        """Start what does not run yet and return once everything wanted is ready.

        Args:
            workers: How many workers of each role; none starts the servers alone. What runs already is not stopped.
            progress: Told in a few words what goes on.
            gateway: Start the HTTP gateway too.

        Raises:
            StackError: Something is missing, taken or broken; a part that ended is told with its last log lines.
        """
        make_folder(self.state.root)
        make_folder(self.state.logs)
        make_folder(self.state.ready)
        with locked(self.state.command_lock, seconds=COMMAND_SECONDS, what=f"starting or stopping {self.state.root}"):
            plan = StackPlan.read(self.state)
            if plan is not None and self.status().running:
                return self._extend(plan, workers, progress, gateway=gateway)
            self._clear_remains(progress)
            plan = self._make_plan(workers, progress)
            plan = self._with_gateway(plan) if gateway else plan
            plan.write(self.state)
            try:
                self._start_supervisor()
                self._wait_until_ready(plan.parts, progress)
            except BaseException:
                self._stop()
                raise
            return plan

    def down(self, progress: Callable[[str], None] = _silent) -> bool:
        """Stop everything, workers first; return whether anything ran.

        Raises:
            StackError: Another process is starting or stopping this stack and does not finish.
        """
        if not self.state.root.is_dir():
            return False
        with locked(self.state.command_lock, seconds=COMMAND_SECONDS, what=f"starting or stopping {self.state.root}"):
            return self._stop(progress)

    def status(self) -> StackStatus:
        """Return what is known of the parts now; one whose process is gone without a supervisor is `lost`."""
        status = StackStatus.read(self.state)
        if is_locked(self.state.supervisor_lock):
            return status
        parts = [
            part.model_copy(update={"state": PartState.LOST if _lives(part) else PartState.STOPPED})
            for part in status.parts
        ]
        return StackStatus(parts=tuple(parts))

    def plan(self) -> StackPlan | None:
        """Return the plan of the running stack, with its addresses; None when it is down."""
        return StackPlan.read(self.state)

    def _extend(
        self, plan: StackPlan, workers: Mapping[str, int], progress: Callable[[str], None], *, gateway: bool
    ) -> StackPlan:
        self._refuse_other_ports(plan)
        more = {role: max(count, plan.workers.get(role, 0)) for role, count in workers.items()}
        extended = plan.model_copy(update={"workers": {**plan.workers, **more}})
        if gateway and plan.gateway_port is None:
            extended = self._with_gateway(extended)
        if extended != plan:
            extended.write(self.state)
            self._signal_supervisor(signal.SIGHUP)
        self._wait_until_ready(extended.parts, progress)
        return extended

    def _refuse_other_ports(self, plan: StackPlan) -> None:
        for name, wanted, has in (
            ("Elasticsearch", self._elasticsearch_port, plan.elasticsearch_port),
            ("Redis", self._redis_port, plan.redis_port),
            ("Gateway", self._gateway_port, plan.gateway_port),
        ):
            if has is not None and wanted not in {None, 0, has}:
                raise StackError(
                    f"The stack already runs, with {name} on port {has} and not {wanted}.",
                    hint="Stop it before changing ports: opinion down",
                )

    def _with_gateway(self, plan: StackPlan) -> StackPlan:
        return plan.with_gateway(choose_port("Gateway", self._gateway_port, GATEWAY_PORT))

    def _make_plan(self, workers: Mapping[str, int], progress: Callable[[str], None]) -> StackPlan:
        jdk = find_jdk(self._java_homes)
        redis_program = find_redis_program()
        distribution = install_distribution(self._programs, jdk, progress)
        elasticsearch = ElasticsearchServer(
            folder=self.state.elasticsearch,
            home=distribution.home,
            java_home=jdk.home,
            port=choose_port("Elasticsearch", self._elasticsearch_port, ELASTICSEARCH_PORT),
            heap=self._heap,
            java_options=self._java_options,
        )
        redis = RedisServer(
            folder=self.state.redis,
            program=redis_program,
            port=choose_port("Redis", self._redis_port, REDIS_PORT),
        )
        elasticsearch.prepare(server_account())
        redis.prepare()
        return StackPlan.make(elasticsearch, redis, {role: count for role, count in workers.items() if count})

    def _start_supervisor(self) -> None:
        with self.state.log_file("supervisor").open("ab") as log:
            started = subprocess.run(
                [sys.executable, "-m", "second_opinion.ops.supervisor", str(self.state.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.state.root,
                check=False,
            )
        if started.returncode != 0:
            raise self._failure("supervisor", f"could not start (exit status {started.returncode})")

    def _wait_until_ready(self, names: list[str], progress: Callable[[str], None]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        ends_before = {part.name: part.restarts for part in StackStatus.read(self.state).parts}
        while True:
            status = StackStatus.read(self.state)
            ready = {part.name for part in status.parts if part.state is PartState.READY}
            waiting = [name for name in names if name not in ready]
            if not waiting:
                return
            progress(f"starting {', '.join(waiting)}")
            for part in status.parts:
                if part.name in waiting and part.restarts > ends_before.get(part.name, 0):
                    raise self._failure(part.name, f"ended while starting ({part.last_exit})")
            if not is_locked(self.state.supervisor_lock):
                raise self._failure("supervisor", "ended while starting the stack")
            if time.monotonic() > deadline:
                raise self._failure(waiting[0], f"was not ready within {READY_SECONDS:.0f} seconds")
            time.sleep(POLL_SECONDS)

    def _failure(self, name: str, what: str) -> PartFailed:
        lines = "\n".join(f"  {line}" for line in _telling_lines(self.state.log_file(name)))
        ending = f" Its log ends:\n{lines}" if lines else " Its log is empty."
        return PartFailed(f"{name} {what}.{ending}", hint=f"Read the whole log: opinion logs {name}")

    def _stop(self, progress: Callable[[str], None] = _silent) -> bool:
        supervised = is_locked(self.state.supervisor_lock)
        ran = supervised or any(_lives(part) for part in StackStatus.read(self.state).parts)
        if supervised:
            progress("stopping")
            self._end_supervisor()
        self._clear_remains(progress)
        self.state.stack_file.unlink(missing_ok=True)
        for ready_file in self.state.ready.glob("*"):
            ready_file.unlink()
        return ran

    def _end_supervisor(self) -> None:
        self._signal_supervisor(signal.SIGTERM)
        if not _wait_until(lambda: not is_locked(self.state.supervisor_lock), STOP_SECONDS):
            self._signal_supervisor(signal.SIGKILL)
            _wait_until(lambda: not is_locked(self.state.supervisor_lock), STOP_SECONDS)

    def _signal_supervisor(self, with_signal: signal.Signals) -> None:
        try:
            os.kill(int(self.state.supervisor_lock.read_text(encoding="ascii")), with_signal)
        except (OSError, ValueError):
            return

    def _clear_remains(self, progress: Callable[[str], None]) -> None:
        """End what a supervisor that was killed has left behind, once a supervisor that is stopping has finished."""
        deadline = time.monotonic() + STOP_SECONDS
        while is_locked(self.state.supervisor_lock):
            progress("waiting for the previous stack to stop")
            if time.monotonic() > deadline:
                raise StackError("The previous stack does not stop.", hint="Look at what it is doing: opinion status")
            time.sleep(POLL_SECONDS)
        orphans = [part for part in StackStatus.read(self.state).parts if _lives(part)]
        for with_signal in (signal.SIGTERM, signal.SIGKILL):
            for part in orphans:
                if part.process is not None:
                    progress(f"stopping {part.name}, left behind by a stack that was killed")
                    kill_group(part.process.pid, with_signal)
            if _wait_until(lambda: not any(_lives(part) for part in orphans), ORPHAN_SECONDS):
                break
        self.state.status_file.unlink(missing_ok=True)


def _telling_lines(log: Path) -> list[str]:
    """Return the last lines of a log that say something, oldest first, as many as fit into a message."""
    told: list[str] = []
    room = LOG_CHARACTERS
    for line in reversed(last_lines(log, LOG_LINES_READ)):
        if len(told) == LOG_LINES or room <= 0:
            break
        if line.strip() and not JAVA_FRAME.match(line):
            told.append(line[:room])
            room -= len(line)
    return told[::-1]


def _lives(part: PartStatus) -> bool:
    return part.process is not None and part.process.alive()


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS / 2)
    return True
