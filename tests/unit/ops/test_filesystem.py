"""Locks that die with their holder, and folders that cannot be used."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from second_opinion.ops.filesystem import is_locked, locked, make_folder, require_space, try_lock
from second_opinion.schemas.errors import StackError, StateUnusable

HOLD = """
import sys, time
from pathlib import Path
from second_opinion.ops.filesystem import try_lock
assert try_lock(Path(sys.argv[1])) is not None
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    """No stale lock: what is held by a living process is free the moment that process is gone."""
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(path)
        assert try_lock(path) is None
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not is_locked(path)
    descriptor = try_lock(path)
    assert descriptor is not None
    os.close(descriptor)


def test_waiting_for_a_lock_ends_with_what_the_holder_does(tmp_path: Path) -> None:
    """A second `up` beside one that hangs is told so instead of hanging too."""
    path = tmp_path / "lock"
    descriptor = try_lock(path)
    assert descriptor is not None
    with (
        pytest.raises(StackError, match="Another process is starting this stack"),
        locked(path, seconds=0.2, what="starting this stack"),
    ):
        pass
    os.close(descriptor)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file in the way gives a sentence with the folder and the option that helps."""
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match=f"{tmp_path}/file/state cannot be written") as caught:
        make_folder(tmp_path / "file" / "state")
    assert "--state-dir" in caught.value.hint


def test_too_little_room_is_said_before_it_is_used(tmp_path: Path) -> None:
    """A nearly full disk is found before Elasticsearch finds it."""
    with pytest.raises(StateUnusable, match="MB free; 1000000000 MB are needed"):
        require_space(tmp_path, 1_000_000_000)
