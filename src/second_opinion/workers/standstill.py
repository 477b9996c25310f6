"""Whether a thread stands still: its Python code has not moved on, because one call into native code does not return.

A thread that waits for another one, or on a connection, is not meant: the other one is watched as well, and every call
to a server has a timeout. A loop that does nothing but sleep in a frame of its own looks like a standstill; no task has
one that may last.
"""

from pathlib import Path
from types import FrameType
from typing import Final

WAITING: Final = frozenset({"threading.py", "selectors.py", "socket.py", "ssl.py"})
"""Where the interpreter's own code, and the driver of Redis, wait for somebody else."""


class Standstill:
    """Follows the innermost frame of one thread, as far as looking now and then can tell."""

    def __init__(self) -> None:
        # The frame itself is kept, not its id: that of a finished one would be given to another.
        self._frame: FrameType | None = None
        self._instruction = -1
        self._since = 0.0

    def seconds(self, frame: FrameType | None, now: float) -> float:
        """Return for how long the thread has been at one instruction of one call.

        Args:
            frame: The thread's innermost frame, from `sys._current_frames()`; None when there is no such thread.
            now: Monotonic seconds.
        """
        if frame is None or _waits(frame):
            self._frame = None
            return 0.0
        if frame is not self._frame or frame.f_lasti != self._instruction:
            self._frame, self._instruction, self._since = frame, frame.f_lasti, now
        return now - self._since


def _waits(frame: FrameType) -> bool:
    return Path(frame.f_code.co_filename).name in WAITING
