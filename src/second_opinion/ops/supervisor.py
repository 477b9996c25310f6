"""The supervisor: one detached process that starts the parts of a stack, starts again what ends, and stops all.

It is told by signals: SIGTERM stops the stack, SIGHUP makes it read the plan again and start what is new in it.
Run it as `python -m second_opinion.ops.supervisor STATE_FOLDER`; `LocalStack.up` does.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from second_opinion.ops.account import server_account
from second_opinion.ops.filesystem import try_lock
from second_opinion.ops.parts import Part, PartSpec
from second_opinion.ops.plan import ELASTICSEARCH, GATEWAY, REDIS, StackPlan, worker_names
from second_opinion.ops.ports import LOOPBACK
from second_opinion.ops.state import StateFolder
from second_opinion.ops.status import PartState, ProcessIdentity, StackStatus

BUSY_SECONDS: Final = 0.1
CALM_SECONDS: Final = 0.5
WORKER_GRACE_SECONDS: Final = 45.0
WORKER_SILENCE_SECONDS: Final = 120.0
FRESH_SECONDS: Final = 60.0
LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024
LOG_CHECK_SECONDS: Final = 30.0


class Supervisor:
    """Keeps the parts of the plan in `state` running until it is told to stop."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._parts: dict[str, Part] = {}
        self._stop_asked = False
        self._plan_changed = True
        self._published = StackStatus()
        self._me = ProcessIdentity.of(os.getpid())
        self._logs_checked = time.monotonic()

    def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_plan_changed)
        while not self._stop_asked:
            if self._plan_changed:
                self._plan_changed = False
                self._read_plan()
            self._tick()
            self._publish()
            self._limit_logs()
            calm = all(part.state in {PartState.READY, PartState.SILENT} for part in self._parts.values())
            time.sleep(CALM_SECONDS if calm else BUSY_SECONDS)
        self._stop_all()

    def _on_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop_asked = True

    def _on_plan_changed(self, _signal: int, _frame: FrameType | None) -> None:
        self._plan_changed = True

    def _read_plan(self) -> None:
        plan = StackPlan.read(self._state)
        if plan is None:
            return
        for spec in part_specs(plan, self._state):
            self._parts.setdefault(spec.name, Part(spec))

    def _tick(self) -> None:
        ready = {name for name, part in self._parts.items() if part.state is PartState.READY}
        for part in self._parts.values():
            if part.state is not PartState.PLANNED or ready.issuperset(part.spec.needs):
                part.tick()

    def _stop_all(self) -> None:
        for are_servers in (False, True):
            parts = [part for part in self._parts.values() if part.spec.is_server is are_servers]
            for part in parts:
                part.ask_to_stop()
            self._wait_for_end(parts)

    def _wait_for_end(self, parts: list[Part]) -> None:
        began = time.monotonic()
        while alive := [part for part in parts if not part.ended()]:
            self._publish()
            for part in alive:
                if time.monotonic() - began > part.spec.grace_seconds:
                    part.kill()
            time.sleep(BUSY_SECONDS / 2)
        self._publish()

    def _publish(self) -> None:
        parts = tuple(part.status() for part in self._parts.values())
        status = StackStatus(supervisor=self._me, stopping=self._stop_asked, parts=parts)
        if status == self._published:
            return
        # A full disk must not end the supervisor: the parts need it most then. The next round tries again.
        try:
            status.write(self._state)
            self._published = status
        except OSError as error:
            sys.stderr.write(f"status.json cannot be written: {error}\n")

    def _limit_logs(self) -> None:
        if time.monotonic() - self._logs_checked < LOG_CHECK_SECONDS:
            return
        self._logs_checked = time.monotonic()
        for log in self._state.logs.glob("*.log"):
            try:
                limit_log(log)
            except OSError as error:
                sys.stderr.write(f"{log} cannot be moved aside: {error}\n")


def limit_log(log: Path, limit: int = LOG_LIMIT_BYTES) -> None:
    """Move the content of a log that has grown past `limit` bytes to `NAME.1`; its writers append, so they go on."""
    if log.stat().st_size > limit:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def part_specs(plan: StackPlan, state: StateFolder) -> list[PartSpec]:
    """Return how to run each part of `plan`, in the order in which they start."""
    elasticsearch = plan.elasticsearch(state)
    redis = plan.redis(state)
    servers = [
        PartSpec(
            name=ELASTICSEARCH,
            command=elasticsearch.command,
            log=state.log_file(ELASTICSEARCH),
            folder=elasticsearch.folder,
            ready=elasticsearch.answers,
            is_server=True,
            environment=elasticsearch.environment,
            account=server_account(),
        ),
        PartSpec(
            name=REDIS,
            command=redis.command,
            log=state.log_file(REDIS),
            folder=redis.folder,
            ready=redis.answers,
            is_server=True,
        ),
    ]
    workers = [
        worker_spec(role, name, plan, state)
        for role, count in plan.workers.items()
        for name in worker_names(role, count)
    ]
    gateway = [] if plan.gateway_port is None else [gateway_spec(plan.gateway_port, plan, state)]
    return servers + workers + gateway


def gateway_spec(port: int, plan: StackPlan, state: StateFolder) -> PartSpec:
    """Return how to run the HTTP gateway on a port of loopback."""
    return own_process(GATEWAY, ["serve", "--host", LOOPBACK, "--port", str(port)], plan, state)


def worker_spec(role: str, name: str, plan: StackPlan, state: StateFolder) -> PartSpec:
    """Return how to run one worker of `role` under the part name `name`."""
    return own_process(name, ["worker", "--role", role], plan, state)


def own_process(name: str, arguments: list[str], plan: StackPlan, state: StateFolder) -> PartSpec:
    """Return how to run a command of this program as a part that says by a file that it does its work.

    It inherits the caller's environment; what names a server in it gives way to this stack's own.
    """
    ready_file = state.ready_file(name)
    variables = {
        "OPINION_STATE_DIR": state.root,
        "OPINION_ELASTICSEARCH_URL": plan.elasticsearch_url,
        "OPINION_BROKER_URL": plan.broker_url,
        "OPINION_JOBS_URL": plan.jobs_url,
        "OPINION_CACHE_URL": plan.cache_url,
        "OPINION_READY_FILE": ready_file,
    }
    setting = ["env", *(f"{key}={value}" for key, value in variables.items())]
    return PartSpec(
        name=name,
        command=[*setting, sys.executable, "-m", "second_opinion.gateway", *arguments],
        log=state.log_file(name),
        folder=state.root,
        ready=lambda: is_fresh(ready_file),
        is_server=False,
        # Not Elasticsearch: a worker loads its models while that starts, and asks for it when the first work comes.
        needs=(REDIS,),
        ready_file=ready_file,
        grace_seconds=WORKER_GRACE_SECONDS,
        silence_seconds=WORKER_SILENCE_SECONDS,
    )


def is_fresh(ready_file: Path) -> bool:
    """Whether the worker whose file this is has said lately that it consumes."""
    try:
        return time.time() - ready_file.stat().st_mtime < FRESH_SECONDS
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """Become the supervisor of the state folder that is the only argument, detached from the caller."""
    state = StateFolder(Path(arguments[0]))
    lock = try_lock(state.supervisor_lock)
    if lock is None:
        return 1
    if os.fork():
        return 0
    os.setsid()
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    Supervisor(state).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
