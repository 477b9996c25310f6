"""Workers with child processes, of which the parent alone is killed: no child outlives it."""

import os
import signal
from pathlib import Path

import pytest

from second_opinion.workers.routing import ROLES, Role
from tests.acceptance.conftest import System, wait_until

PREFORK: list[Role] = [role for role, spec in ROLES.items() if spec.pool == "prefork"]
END_SECONDS = 15.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find child processes")


def children(parent: int) -> list[int]:
    """Return the processes whose parent this is."""
    return [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if parent_of(stat) == parent]


def parent_of(stat: Path) -> int:
    """Return the parent of a process; 0 when the process is gone."""
    try:
        return int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("role", PREFORK)
def test_children_end_with_their_parent(system: System, role: Role) -> None:
    """The parent is killed as the kernel kills it; its children, and its beat, leave by themselves."""
    (worker,) = system.start(role)
    wait_until(lambda: bool(children(worker.process.pid)), 30)
    pids = children(worker.process.pid)
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait(10)
    try:
        wait_until(lambda: not any(lives(pid) for pid in pids), END_SECONDS, lambda: f"{pids} live on: {worker.log}")
    finally:
        for pid in filter(lives, pids):
            os.kill(pid, signal.SIGKILL)
