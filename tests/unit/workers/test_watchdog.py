"""The watchdog leaves a process that cannot end itself."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from second_opinion.pipeline.inferences import INFERENCES
from second_opinion.workers.deafness import Absence, Deafness
from second_opinion.workers.watchdog import OVERDUE_EXIT, Limits, Watchdog, touch


def make(left: list[int], *, task_limit: float = 10.0, shutdown_grace: float = 5.0) -> Watchdog:
    return Watchdog(Limits(task=task_limit, shutdown_grace=shutdown_grace), leave=left.append)


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


def test_work_is_let_go_after_half_of_the_grace_time() -> None:
    """Long enough before the end to be given back in order; never while nobody has asked for a stop."""
    watchdog = make([], shutdown_grace=0.4)
    assert not watchdog.must_let_go()
    watchdog.shutting_down()
    assert not watchdog.must_let_go()
    time.sleep(0.25)
    assert watchdog.must_let_go()


def test_touch_makes_the_file_and_survives_a_lost_folder(tmp_path: Path) -> None:
    """The ready file is made with its folder; where that cannot be, the worker goes on."""
    touch(tmp_path / "new" / "ready")
    assert (tmp_path / "new" / "ready").exists()
    (tmp_path / "file").write_text("")
    touch(tmp_path / "file" / "ready")


def test_a_silent_task_ends_the_process_and_one_that_beats_does_not() -> None:
    """Once a task has a pulse, its silence ends the process long before its own limit; before that it may wait."""
    left: list[int] = []
    watchdog = Watchdog(Limits(task=100.0, shutdown_grace=5.0, stall=2.0), leave=left.append)
    with watchdog.watching("opinion.rerank"):
        watchdog.check(time.monotonic() + 99.0)
        beat = watchdog.pulse()
        time.sleep(0.2)
        beat()
        watchdog.check(time.monotonic() + 1.9)
        assert left == []
        watchdog.check(time.monotonic() + 2.1)
    assert left == [OVERDUE_EXIT]


def _native_sleep(seconds: float, entered: threading.Event) -> None:
    entered.set()
    time.sleep(seconds)


def _look_at(watchdog: Watchdog, body: Callable[[threading.Event], object]) -> None:
    """Run a task without a pulse in a thread, and check at two moments that are more than a stall apart."""
    entered = threading.Event()

    def run() -> None:
        with watchdog.watching("opinion.accept"):
            body(entered)

    thread = threading.Thread(target=run)
    thread.start()
    entered.wait(10.0)
    time.sleep(0.2)
    begun = time.monotonic()
    for later in (0.0, 9.0, 16.0):
        watchdog.check(begun + later)
        time.sleep(0.05)
    thread.join()


def test_a_task_in_one_native_call_for_long_ends_the_process() -> None:
    """Native code that hangs while other threads run, in a task that has no pulse, ends the process."""
    left: list[int] = []
    _look_at(make(left, task_limit=600.0), lambda entered: _native_sleep(1.5, entered))
    assert left == [OVERDUE_EXIT]


def test_a_task_that_moves_on_or_waits_for_another_thread_goes_on() -> None:
    """Neither many short native calls nor a thread that waits for another one is a standstill."""
    left: list[int] = []
    many, gate = range(150), threading.Event()
    _look_at(make(left, task_limit=600.0), lambda entered: [_native_sleep(0.01, entered) for _ in many])
    threading.Timer(1.5, gate.set).start()
    _look_at(make(left, task_limit=600.0), lambda entered: (entered.set(), gate.wait(10.0)))
    assert left == []


def test_a_task_can_have_less_time_than_others() -> None:
    """What hangs most easily is given up first."""
    left: list[int] = []
    limits = Limits(task=100.0, shutdown_grace=5.0, tasks={"opinion.extract": 3.0})
    watchdog = Watchdog(limits, leave=left.append)
    with watchdog.watching("opinion.index"):
        watchdog.check(time.monotonic() + 4.0)
    with watchdog.watching("opinion.extract"):
        assert left == []
        watchdog.check(time.monotonic() + 4.0)
    assert left == [OVERDUE_EXIT]


def test_a_hanging_inference_ends_the_process() -> None:
    """Whoever waits for an inference goes on to show life; the inference itself has a limit of its own."""
    left: list[int] = []
    watchdog = Watchdog(Limits(task=100.0, shutdown_grace=5.0, stall=3.0), leave=left.append)
    with INFERENCES.timed():
        watchdog.check(time.monotonic() + 2.0)
        assert left == []
        watchdog.check(time.monotonic() + 4.0)
        assert left == [OVERDUE_EXIT]
    watchdog.check(time.monotonic() + 4.0)
    assert left == [OVERDUE_EXIT]


def test_a_deaf_worker_is_left() -> None:
    """Messages that wait beside an idle worker end it; an empty queue, work, or a broker that is away do not."""
    waiting, taken, working = [3], [0], [0]
    deaf = Deafness(20.0, waiting=lambda: waiting[0], taken=lambda: taken[0], working=lambda: working[0])
    assert not any(deaf(float(second)) for second in range(22))
    assert deaf(26.0)
    for heard in (
        lambda: waiting.__setitem__(0, 0),
        lambda: working.__setitem__(0, 1),
        lambda: taken.__setitem__(0, 9),
    ):
        waiting[0], working[0] = 3, 0
        heard()
        assert not deaf(100.0 + 10 * taken[0] + 5 * working[0])
        deaf(0.0)


def test_a_broker_that_is_away_is_no_deafness() -> None:
    """Whoever cannot ask does not know that anything waits."""

    def away() -> int:
        raise ConnectionError

    deaf = Deafness(1.0, waiting=away, taken=lambda: 0, working=lambda: 0)
    assert not any(deaf(10.0 * second) for second in range(5))


def test_a_worker_that_does_not_come_back_to_its_broker_is_left() -> None:
    """While the broker is away a worker may be, too; once it answers, the worker has its time to come back."""
    is_away = [True]

    def ping() -> None:
        if is_away[0]:
            raise ConnectionError

    absent = Absence(30.0, ping)
    assert not any(absent(10.0 * second) for second in range(10))
    is_away[0] = False
    assert not absent(100.0)
    assert not absent(129.0)
    assert absent(131.5)


def test_a_stopping_worker_is_not_deaf() -> None:
    """A worker that was asked to stop takes no messages, and has its grace time all the same."""
    left: list[int] = []
    watchdog = Watchdog(Limits(task=100.0, shutdown_grace=50.0), leave=left.append, is_deaf=lambda _: True)
    watchdog.shutting_down()
    watchdog.check(time.monotonic() + 40.0)
    assert left == []


def test_a_child_whose_parent_is_gone_ends() -> None:
    """Nobody takes back what it does, and another worker has its place."""
    left: list[int] = []
    watchdog = make(left)
    watchdog.check(time.monotonic())
    assert left == []
    watchdog.is_orphaned = lambda: True
    watchdog.check(time.monotonic())
    assert left == [OVERDUE_EXIT]
