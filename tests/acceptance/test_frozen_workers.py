"""SIGSTOP in the middle of work, rescued meanwhile, SIGCONT: nothing changes that was done in its place.

The long form is `./do bench frozen`: 90 seconds for each role.
"""

import pytest

from second_opinion.workers.routing import Role
from tests.acceptance.conftest import System
from tests.faults.frozen import FROZEN, Freezer, start_all

STAND_STILL_SECONDS = 9.0
"""Longer than any lease here, shorter than what may hang: so it is the fences that hold, not the watchdog."""

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def freezer(system: System) -> Freezer:
    """A system that works, with leases of seconds; nothing that stands still ends for that reason."""
    system.environment = {**system.environment, "OPINION_STALL_SECONDS": "300", "OPINION_DEAF_SECONDS": "300"}
    start_all(system)
    return Freezer(system, STAND_STILL_SECONDS)


@pytest.mark.parametrize("role", FROZEN)
def test_a_thawed_worker_changes_nothing(freezer: Freezer, role: Role) -> None:
    """It lives on with the work in its hands, which another has done; every record and every job stays as it is."""
    thaw = freezer.freeze(role)
    assert thaw.held > 0
    assert thaw.survived
    assert thaw.changed == []
