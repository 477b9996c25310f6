"""The watchdog: ends a worker that cannot end itself, and says that a healthy one consumes.

Celery's thread pool has no time limits and waits for ever at shutdown. A process that outlives a limit leaves by
`os._exit`; the lease of what it held expires, and another worker goes on.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

OVERDUE_EXIT: Final = 70
CHECK_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


class Watchdog:
    """Watches the tasks of this process.

    Args:
        task_limit: Seconds a task may run.
        shutdown_grace: Seconds that running tasks get after `shutting_down`.
        leave: How the process is left; replaced in tests.
    """

    def __init__(self, *, task_limit: float, shutdown_grace: float, leave: Callable[[int], object] = os._exit) -> None:
        self._task_limit = task_limit
        self._shutdown_grace = shutdown_grace
        self._leave = leave
        self._started: dict[int, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._leave_at: float | None = None

    def start(self) -> None:
        """Begin to watch, in a daemon thread."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def watching(self, task: str) -> Iterator[None]:
        """Count the body as a running task."""
        thread = threading.get_ident()
        with self._lock:
            self._started[thread] = (task, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._started.pop(thread, None)

    def shutting_down(self) -> None:
        """Give running tasks their grace time from now on."""
        self._leave_at = time.monotonic() + self._shutdown_grace

    def check(self, now: float) -> None:
        """Leave the process if a task, or the shutdown, is overdue at `now` (monotonic seconds)."""
        with self._lock:
            running = list(self._started.values())
        for task, since in running:
            if now - since > self._task_limit:
                log.error("task_overdue", task=task, seconds=round(now - since, 1), action="leaving the process")
                self._leave(OVERDUE_EXIT)
        if self._leave_at is not None and now > self._leave_at:
            log.error("shutdown_overdue", tasks=[task for task, _ in running], action="leaving the process")
            self._leave(OVERDUE_EXIT)

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_SECONDS)
            self.check(time.monotonic())


def touch(path: Path) -> None:
    """Make the file, or renew its time; a folder that is gone must not end a worker."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as problem:
        log.warning("ready_file_unwritable", path=str(path), problem=str(problem))
