"""Workers for whom nobody waits come after those that answer queries."""

import subprocess
import sys
from pathlib import Path

import pytest

from second_opinion.workers.niceness import AUTOGROUP
from second_opinion.workers.routing import ROLES

GIVE_WAY = """
import os
from second_opinion.workers.niceness import give_way
os.nice({started})
give_way({niceness})
print(os.nice(0))
"""


def test_queries_come_first() -> None:
    """The roles that a query passes through, and the intake of documents, give way to nobody."""
    assert {role for role, spec in ROLES.items() if spec.gives_way} == {"extract", "index", "maintenance"}


@pytest.mark.parametrize(("started", "niceness", "ends"), [(0, 10, 10), (0, 0, 0), (15, 10, 15)])
def test_a_process_becomes_as_nice_as_is_wanted(started: int, niceness: int, ends: int) -> None:
    """And one that was started nicer than that stays so."""
    before = int(subprocess.check_output([sys.executable, "-c", "import os; print(os.nice(0))"]))
    if before:
        pytest.skip("these tests run nicely themselves")
    script = GIVE_WAY.format(started=started, niceness=niceness)
    assert int(subprocess.check_output([sys.executable, "-c", script])) == ends


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no scheduling groups of sessions")
@pytest.mark.parametrize(("alone", "ends"), [(True, 10), (False, 0)])
def test_the_session_gives_way_if_it_is_the_process_own(alone: bool, ends: int) -> None:
    """Linux shares the processors among sessions first; a shell that starts a worker keeps its own share."""
    script = GIVE_WAY.format(started=0, niceness=10) + "print(open('/proc/self/autogroup').read())"
    # The shell leads the session in which the script does not.
    command = [sys.executable, "-c", script] if alone else ["sh", "-c", '"$0" -c "$1"; :', sys.executable, script]
    told = subprocess.check_output(command, start_new_session=True, text=True).split()
    assert told[-2:] == ["nice", str(ends)]


@pytest.mark.parametrize(
    ("held", "ends"), [("/autogroup-7 nice 0\n", "10\n"), ("/autogroup-7 nice 15\n", None), ("", None)]
)
def test_a_group_is_never_made_less_nice(held: str, ends: str | None, tmp_path: Path) -> None:
    """A process may also be in a group of another kind, of which the kernel says nothing."""
    autogroup = tmp_path / "autogroup"
    autogroup.write_text(held)
    script = "import sys, pathlib; from second_opinion.workers.niceness import give_way; "
    script += "give_way(10, pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, autogroup], check=True, start_new_session=True)
    assert autogroup.read_text() == (held if ends is None else ends)
