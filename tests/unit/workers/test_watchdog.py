"""The watchdog leaves a process that cannot end itself."""

import threading
import time
from pathlib import Path

from second_opinion.workers.watchdog import OVERDUE_EXIT, Watchdog, touch


def make(left: list[int], *, task_limit: float = 10.0, shutdown_grace: float = 5.0) -> Watchdog:
    return Watchdog(task_limit=task_limit, shutdown_grace=shutdown_grace, leave=left.append)


def test_an_overdue_task_ends_the_process() -> None:
    """A task beyond its limit ends the process; before the limit nothing happens."""
    left: list[int] = []
    watchdog = make(left)
    with watchdog.watching("opinion.index"):
        watchdog.check(time.monotonic() + 9.0)
        assert left == []
        watchdog.check(time.monotonic() + 11.0)
    assert left == [OVERDUE_EXIT]


def test_a_finished_task_is_forgotten() -> None:
    """Only running tasks count, also when the body raised."""
    left: list[int] = []
    watchdog = make(left)
    try:
        with watchdog.watching("opinion.index"):
            raise KeyError
    except KeyError:
        pass
    watchdog.check(time.monotonic() + 1_000.0)
    assert left == []


def test_each_thread_is_watched_on_its_own() -> None:
    """A short task in one thread does not hide a hanging one in another."""
    left: list[int] = []
    watchdog = make(left)
    entered, release = threading.Event(), threading.Event()

    def hang() -> None:
        with watchdog.watching("opinion.rerank"):
            entered.set()
            release.wait(10.0)

    thread = threading.Thread(target=hang)
    thread.start()
    entered.wait(10.0)
    with watchdog.watching("opinion.rerank"):
        pass
    watchdog.check(time.monotonic() + 11.0)
    release.set()
    thread.join()
    assert left == [OVERDUE_EXIT]


def test_shutdown_has_a_grace_time() -> None:
    """After a stop was asked for, running tasks have the grace time and no more."""
    left: list[int] = []
    watchdog = make(left)
    watchdog.shutting_down()
    watchdog.check(time.monotonic() + 4.0)
    assert left == []
    watchdog.check(time.monotonic() + 6.0)
    assert left == [OVERDUE_EXIT]


def test_touch_makes_the_file_and_survives_a_lost_folder(tmp_path: Path) -> None:
    """The ready file is made with its folder; where that cannot be, the worker goes on."""
    touch(tmp_path / "new" / "ready")
    assert (tmp_path / "new" / "ready").exists()
    (tmp_path / "file").write_text("")
    touch(tmp_path / "file" / "ready")
