"""The watchdog: ends a worker that cannot end itself, and says that a healthy one consumes.

Celery's thread pool has no time limits and waits for ever at shutdown. A process that outlives a limit leaves by
`os._exit`; the lease of what it held expires, and another worker goes on. Native code may hang while it holds the
interpreter's lock, and then no thread of ours runs: a timer of the C library, wound up again and again, ends that.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from second_opinion.pipeline.inferences import INFERENCES
from second_opinion.pipeline.ports import Guard, no_guard
from second_opinion.workers.standstill import Standstill

OVERDUE_EXIT: Final = 70
CHECK_SECONDS: Final = 0.5
LET_GO_SHARE: Final = 0.5
"""Of the grace time: after it, work that can be given back is, so that nobody takes its worker for lost."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Running:
    """A running task: since when, and when it last showed that it goes on (monotonic seconds); None if it never has."""

    task: str
    since: float
    heard: float | None = None
    standstill: Standstill = field(default_factory=Standstill)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds.

    Attributes:
        task: A task.
        shutdown_grace: Running tasks after a stop was asked for.
        stall: One inference, native code that lets no other thread run, the silence of a task that has a pulse, or one
            native call of a task that has none.
        tasks: By name, tasks that have less time than `task`.
    """

    task: float
    shutdown_grace: float
    stall: float = 15.0
    tasks: Mapping[str, float] = field(default_factory=dict)


class Watchdog:
    """Watches the tasks of this process.

    Args:
        limits: What it watches for.
        leave: How the process is left; replaced in tests.
        is_deaf: Asked at each check whether this worker has stopped to take messages.
        is_orphaned: Asked at each check whether the process that this one works for is gone.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        leave: Callable[[int], object] = os._exit,
        is_deaf: Callable[[float], bool] = lambda _: False,
        is_orphaned: Callable[[], bool] = lambda: False,
    ) -> None:
        self.is_deaf = is_deaf
        self.is_orphaned = is_orphaned
        self._limits = limits
        self._leave = leave
        self._running: dict[int, _Running] = {}
        self._leave_at: float | None = None

    def start(self, *, runs_tasks: bool = True) -> None:
        """Begin to watch this process, in a daemon thread; a forked child has to begin anew.

        Args:
            runs_tasks: Whether this process does, or only its children. Then it does without the timer: one that is
                wound up in a parent cannot be wound up again in its children, who would wait for it for ever.
        """
        self._running = {}
        threading.Thread(target=self._watch, args=(runs_tasks,), name="watchdog", daemon=True).start()

    @contextmanager
    def watching(self, task: str) -> Iterator[None]:
        """Count the body as a running task."""
        thread = threading.get_ident()
        self._running[thread] = _Running(task, time.monotonic())
        try:
            yield
        finally:
            self._running.pop(thread, None)

    def pulse(self) -> Guard:
        """Return what the task of this thread calls, from any thread, to show that it goes on; it must from now on."""
        running = self._running.get(threading.get_ident())
        if running is None:
            return no_guard

        def beat() -> None:
            running.heard = time.monotonic()

        beat()
        return beat

    def shutting_down(self) -> None:
        """Give running tasks their grace time from now on."""
        self._leave_at = time.monotonic() + self._limits.shutdown_grace

    def must_let_go(self) -> bool:
        """Tell whether a stop was asked for so long ago that work which can be given back should be."""
        left = (1.0 - LET_GO_SHARE) * self._limits.shutdown_grace
        return self._leave_at is not None and time.monotonic() > self._leave_at - left

    def check(self, now: float) -> None:
        """Leave the process if something hangs, or the shutdown is overdue, at `now` (monotonic seconds)."""
        if self.is_orphaned():
            self._end("parent_gone")
        running = dict(self._running)
        frames = sys._current_frames() if running else {}  # noqa: SLF001 - documented, under this name
        for thread, one in running.items():
            if now - one.since > self._limits.tasks.get(one.task, self._limits.task):
                self._end("task_overdue", task=one.task, seconds=round(now - one.since, 1))
            elif one.heard is not None and now - one.heard > self._limits.stall:
                self._end("task_silent", task=one.task, seconds=round(now - one.heard, 1))
            elif one.heard is None and (still := one.standstill.seconds(frames.get(thread), now)) > self._limits.stall:
                self._end("task_stands_still", task=one.task, seconds=round(still, 1))
        inference = INFERENCES.longest(now)
        if inference > self._limits.stall:
            self._end("inference_hangs", seconds=round(inference, 1))
        if self._leave_at is None and self.is_deaf(now):
            self._end("worker_deaf")
        if self._leave_at is not None and now > self._leave_at:
            self._end("shutdown_overdue", tasks=[one.task for one in running.values()])

    def _end(self, event: str, **facts: object) -> None:
        log.error(event, action="leaving the process", **facts)
        self._leave(OVERDUE_EXIT)

    def _watch(self, has_timer: bool) -> None:
        while True:
            if has_timer:
                # Ends the process, with the stacks of all threads, unless it is wound up again in time.
                faulthandler.dump_traceback_later(self._limits.stall, exit=True, file=sys.__stderr__ or sys.stderr)
            time.sleep(CHECK_SECONDS)
            self.check(time.monotonic())


def touch(path: Path) -> None:
    """Make the file, or renew its time; a folder that is gone must not end a worker."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as problem:
        log.warning("ready_file_unwritable", path=str(path), problem=str(problem))
