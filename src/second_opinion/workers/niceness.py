"""Workers for whom nobody waits come after others on the machine.

Niceness counts among the processes of one scheduling group. Linux makes a group of each session by default, shares the
processors among these groups first, and each part of the local stack has a session of its own: there the group has to
give way too (sched(7), "The autogroup feature").
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

AUTOGROUP: Final = Path("/proc/self/autogroup")
MOST: Final = 19
# The kernel lets processes that are not root change it ten times a second, all of them together.
TRIES: Final = 5
PAUSE_SECONDS: Final = 0.15


def give_way(niceness: int, autogroup: Path = AUTOGROUP) -> None:
    """Let this process, and all threads that it starts from now on, come after others on the machine.

    One that was started nicer stays so: only root may take that back. The session's group gives way if it is this
    process's own, so that no shell becomes slow whose child this is.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():
        _let_group_give_way(niceness, autogroup)


def _let_group_give_way(niceness: int, autogroup: Path) -> None:
    # There is none where the kernel has no such feature, and none that may be written in some containers.
    with suppress(FileNotFoundError, PermissionError):
        for _ in range(TRIES):
            if _group_niceness(autogroup) >= niceness:
                return
            with suppress(BlockingIOError):
                autogroup.write_text(f"{niceness}\n")
                return
            time.sleep(PAUSE_SECONDS)


def _group_niceness(autogroup: Path) -> int:
    """Return what `/autogroup-12 nice 0` says; the most there is where the process is in no group of this kind."""
    words = autogroup.read_text().split()
    return int(words[-1]) if words else MOST
