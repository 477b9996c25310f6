"""Parts as real processes: restarts, silence, groups, and programs that will not start or stop."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from second_opinion.ops import parts
from second_opinion.ops.parts import Part, PartSpec, describe_exit
from second_opinion.ops.status import PartState, ProcessIdentity

MakePart = Callable[..., Part]
TICK_SECONDS = 0.02


@pytest.fixture
def make_part(tmp_path: Path) -> Iterator[MakePart]:
    """Make parts whose processes end with the test."""
    made: list[Part] = []

    def make(*command: str, **changes: Any) -> Part:
        options: dict[str, Any] = {"ready": lambda: True, "is_server": False, **changes}
        part = Part(PartSpec(name="part", command=list(command), log=tmp_path / "part.log", folder=tmp_path, **options))
        made.append(part)
        return part

    yield make
    for part in made:
        part.kill()


def tick_until(part: Part, condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Drive `part` until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still {part.state}"
        part.tick()
        time.sleep(TICK_SECONDS)


def process_of(part: Part) -> ProcessIdentity:
    """Return the process of a part that has one."""
    process = part.status().process
    assert process is not None
    return process


def test_a_part_that_is_killed_is_started_again(make_part: MakePart) -> None:
    """SIGKILL from outside costs a pause and a restart, and the status says how it ended."""
    part = make_part("sleep", "60")
    tick_until(part, lambda: part.state is PartState.READY)
    first = process_of(part)
    os.kill(first.pid, 9)
    tick_until(part, lambda: part.restarts == 1 and part.state is PartState.READY)
    assert process_of(part) != first
    assert part.last_exit == "killed by SIGKILL"


def test_pauses_between_restarts_grow(make_part: MakePart, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that ends at once is not started in a tight loop."""
    monkeypatch.setattr(parts, "FIRST_PAUSE_SECONDS", 0.2)
    part = make_part("false", ready=lambda: False)
    began = time.monotonic()
    tick_until(part, lambda: part.restarts == 4)
    # Pauses of 0.2, 0.4 and 0.8 s lie before the fourth end.
    assert time.monotonic() - began > 1.4
    assert part.last_exit == "exit status 1"


def test_a_program_that_does_not_exist_is_an_end_like_any_other(make_part: MakePart, tmp_path: Path) -> None:
    """The supervisor survives it, and the status says why."""
    part = make_part(str(tmp_path / "absent"))
    tick_until(part, lambda: part.restarts == 1)
    assert part.last_exit == f"cannot be started: {tmp_path}/absent: No such file or directory"


def test_a_log_that_cannot_be_opened_is_an_end_like_any_other(make_part: MakePart, tmp_path: Path) -> None:
    """A folder in the log's place costs a pause, not the supervisor."""
    (tmp_path / "part.log").mkdir()
    part = make_part("sleep", "60")
    tick_until(part, lambda: part.restarts == 1)
    assert "part.log: Is a directory" in part.last_exit


def test_children_end_with_their_part(make_part: MakePart, tmp_path: Path) -> None:
    """When a parent dies alone, the processes it began are not left behind."""
    pid_file = tmp_path / "child.pid"
    part = make_part("sh", "-c", f"sleep 60 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait")
    tick_until(part, pid_file.exists)
    child = psutil.Process(int(pid_file.read_text(encoding="ascii")))
    os.kill(process_of(part).pid, 9)
    tick_until(part, lambda: part.restarts == 1)
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_part_is_ready_when_it_says_so_and_not_before(make_part: MakePart, tmp_path: Path) -> None:
    """A ready file of an earlier life does not count."""
    ready_file = tmp_path / "ready"
    ready_file.touch()
    part = make_part(
        "sh", "-c", f"sleep 0.5; touch {ready_file}; sleep 60", ready=ready_file.exists, ready_file=ready_file
    )
    part.tick()
    part.tick()
    assert part.state is PartState.STARTING
    tick_until(part, lambda: part.state is PartState.READY)


def test_a_part_that_lives_but_is_silent_is_started_anew(
    make_part: MakePart, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker that is alive and deaf is no worker: after its time of silence it is replaced."""
    monkeypatch.setattr(parts, "CHECK_SECONDS", 0.05)
    well = tmp_path / "well"
    well.touch()
    part = make_part("sleep", "60", ready=well.exists, silence_seconds=0.3)
    tick_until(part, lambda: part.state is PartState.READY)
    well.unlink()
    tick_until(part, lambda: part.state is PartState.SILENT)
    tick_until(part, lambda: part.restarts == 1)
    assert "silence" in part.last_exit


def test_a_part_that_was_silent_for_a_moment_goes_on(
    make_part: MakePart, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A short silence, such as a garbage collection, costs nothing."""
    monkeypatch.setattr(parts, "CHECK_SECONDS", 0.05)
    well = tmp_path / "well"
    well.touch()
    part = make_part("sleep", "60", ready=well.exists, silence_seconds=60.0)
    tick_until(part, lambda: part.state is PartState.READY)
    first = process_of(part)
    well.unlink()
    tick_until(part, lambda: part.state is PartState.SILENT)
    well.touch()
    tick_until(part, lambda: part.state is PartState.READY)
    assert process_of(part) == first


def test_a_part_that_is_asked_to_stop_is_not_started_again(make_part: MakePart) -> None:
    """Stopping is an end that was wanted."""
    part = make_part("sleep", "60")
    tick_until(part, lambda: part.state is PartState.READY)
    part.ask_to_stop()
    deadline = time.monotonic() + 5
    while not part.ended() and time.monotonic() < deadline:
        time.sleep(TICK_SECONDS)
    assert part.state is PartState.STOPPED
    assert part.restarts == 0
    assert part.last_exit == "killed by SIGTERM"


def test_a_part_that_ignores_the_request_can_be_killed(make_part: MakePart, tmp_path: Path) -> None:
    """Nothing outlives `down`."""
    started = tmp_path / "started"
    program = (
        "import signal, time, pathlib, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
    )
    part = make_part(sys.executable, "-c", program, str(started), ready=started.exists)
    tick_until(part, lambda: part.state is PartState.READY)
    process = process_of(part)
    part.ask_to_stop()
    time.sleep(0.2)
    assert not part.ended()
    part.kill()
    assert part.state is PartState.STOPPED
    assert not process.alive()


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit status 0"), (70, "exit status 70"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")],
)
def test_ends_are_told_in_words(code: int, words: str) -> None:
    """Return codes below zero are signals."""
    assert describe_exit(code) == words


def test_a_number_that_was_given_out_again_is_another_process() -> None:
    """A stale pid file never leads to killing a stranger."""
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert not me.model_copy(update={"began": me.began - 100}).alive()
