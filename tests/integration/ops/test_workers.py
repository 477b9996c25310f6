"""Workers as parts of the stack: added to it while it runs, started again, stopped with it."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from second_opinion.ops.stack import LocalStack
from second_opinion.ops.status import PartState, PartStatus

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def with_intake(running: LocalStack) -> Iterator[LocalStack]:
    """The running stack with two workers that need no model; servers alone again behind the tests."""
    servers = running.status().parts
    running.up({"intake": 2})
    assert running.status().parts[:2] == servers
    yield running
    running.down()
    running.up({})


def part(stack: LocalStack, name: str) -> PartStatus:
    """Return a part of the stack."""
    found = stack.status().part(name)
    assert found is not None
    return found


def test_a_worker_that_is_killed_consumes_again(with_intake: LocalStack) -> None:
    """It is started again within seconds; the other worker of its role is not touched."""
    victim, neighbour = part(with_intake, "intake-2").process, part(with_intake, "intake")
    assert victim is not None
    assert neighbour.state is PartState.READY
    os.kill(victim.pid, signal.SIGKILL)
    deadline = time.monotonic() + 90
    while part(with_intake, "intake-2").restarts == 0 or part(with_intake, "intake-2").state is not PartState.READY:
        assert time.monotonic() < deadline, part(with_intake, "intake-2")
        time.sleep(0.2)
    assert part(with_intake, "intake-2").process not in {victim, None}
    assert part(with_intake, "intake") == neighbour


def test_down_ends_the_workers_too(with_intake: LocalStack) -> None:
    """No worker is left, and none says any longer that it consumes."""
    process = part(with_intake, "intake").process
    assert process is not None
    assert process.alive()
    assert with_intake.down() is True
    assert not process.alive()
    assert list(with_intake.state.ready.iterdir()) == []
