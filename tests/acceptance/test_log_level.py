"""The level of the log is the one that is set, whatever Celery would have it be."""

import pytest

from tests.acceptance.conftest import System, wait_until

pytestmark = pytest.mark.stack

TICK_SECONDS = 60.0


def test_a_worker_tells_what_is_told_at_its_level(system: System) -> None:
    """A tick that finds nothing to do is told at DEBUG."""
    system.environment = {**system.environment, "OPINION_LOG_LEVEL": "DEBUG"}
    (worker,) = system.start("maintenance")
    wait_until(lambda: '"task_done"' in worker.log, TICK_SECONDS, lambda: worker.log[-2_000:])
