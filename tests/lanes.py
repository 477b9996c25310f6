"""Three lanes of tests at once, each with servers of its own: most of a test on real parts is waiting.

A file stays in one lane, and so do all tests of the page, which share a browser. Whoever measures time is marked
`alone`: it waits until the other lanes have finished their tests, and they wait for it.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from xdist.scheduler import LoadScopeScheduling

TOGETHER: Final = ("tests/browser/",)


class Lanes(LoadScopeScheduling):
    """Hands out tests by file, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(nodeid.partition("::")[0])
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


class Passage:
    """What keeps tests apart that are not to run at once. One for each process, all in one folder.

    Who wants to be alone stays in the door until the room is empty, and so is overtaken by nobody.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._door, self._room = ((folder / name).open("w") for name in ("door", "room"))

    @contextmanager
    def inside(self, *, alone: bool) -> Iterator[None]:
        """Wait to be let in, and be inside."""
        _lock(self._door, fcntl.LOCK_EX)
        _lock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            _lock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            _lock(self._room, fcntl.LOCK_UN)
            _lock(self._door, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave nothing behind. Whoever is still inside has the files open."""
        self._door.close()
        self._room.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _lock(file: Any, how: int) -> None:
    fcntl.flock(file.fileno(), how)
