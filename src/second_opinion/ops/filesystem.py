"""Folders and files of the stack: locks between processes, room on the disk."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from second_opinion.schemas.errors import StackError, StateUnusable

MEBIBYTE: Final = 1024 * 1024


def make_folder(folder: Path) -> Path:
    """Make `folder` and its parents, readable by every account, and return it.

    Raises:
        StateUnusable: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StateUnusable(f"The folder {folder} cannot be written to: {error.strerror}.") from error
    return folder


def require_space(folder: Path, mebibytes: int) -> None:
    """Check that the disk of `folder` has `mebibytes` to spare.

    Raises:
        StateUnusable: It has less.
    """
    free = shutil.disk_usage(folder).free // MEBIBYTE
    if free < mebibytes:
        raise StateUnusable(
            f"The disk of {folder} has {free} MB free; {mebibytes} MB are needed.",
            hint="Free some space, or choose a folder on another disk: opinion up --state-dir FOLDER",
        )


def try_lock(path: Path) -> int | None:
    """Take the lock at `path` and return its descriptor, or None while another process holds it.

    The system lets go of the lock when its holder ends, however it ends, so a lock is never stale.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock at `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def locked(path: Path, *, seconds: float, what: str) -> Iterator[None]:
    """Hold the lock at `path`, waiting for it up to `seconds`.

    Raises:
        StackError: Another process held it for longer; `what` says what it is doing.
    """
    deadline = time.monotonic() + seconds
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise StackError(f"Another process is {what}.", hint="Wait for it to finish, then try again.")
        time.sleep(0.1)
    try:
        yield
    finally:
        os.close(descriptor)
