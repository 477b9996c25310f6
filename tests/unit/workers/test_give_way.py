"""Workers for whom nobody waits come after those that answer queries."""

import subprocess
import sys

import pytest

from second_opinion.workers.routing import ROLES

GIVE_WAY = """
import os
from second_opinion.workers.main import give_way
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
