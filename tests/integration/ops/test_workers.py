"""Workers as parts of the stack: added to it while it runs, started again, stopped with it."""

import os
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from second_opinion.ops.stack import LocalStack
from second_opinion.ops.status import PartState, PartStatus
from second_opinion.schemas.errors import StackError

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def with_intake(running: LocalStack) -> Iterator[LocalStack]:
    """The running stack with two workers that need no model, and a gateway; servers alone again behind the tests."""
    servers = running.status().parts
    running.up({"intake": 2}, gateway=True)
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


def test_the_gateway_is_a_part_like_the_others(with_intake: LocalStack) -> None:
    """It serves the stack that it is part of, and comes back at the same address after a kill."""
    plan, victim = with_intake.plan(), part(with_intake, "gateway").process
    assert plan is not None
    assert plan.gateway_url is not None
    assert victim is not None
    assert httpx.get(f"{plan.gateway_url}/readyz", timeout=30.0).json()["status"] == "ready"
    os.kill(victim.pid, signal.SIGKILL)
    deadline = time.monotonic() + 90
    while part(with_intake, "gateway").restarts == 0 or part(with_intake, "gateway").state is not PartState.READY:
        assert time.monotonic() < deadline, part(with_intake, "gateway")
        time.sleep(0.2)
    assert httpx.get(f"{plan.gateway_url}/healthz", timeout=30.0).status_code == 200
    assert with_intake.up({}, gateway=True) == plan


def test_another_port_than_the_gateways_is_refused(with_intake: LocalStack) -> None:
    """As for the servers."""
    plan = with_intake.plan()
    assert plan is not None
    assert plan.gateway_port is not None
    other = LocalStack(with_intake.state.root, gateway_port=plan.gateway_port + 1)
    with pytest.raises(StackError, match="Gateway on port"):
        other.up({}, gateway=True)


def test_down_ends_the_workers_too(with_intake: LocalStack) -> None:
    """No worker is left, and none says any longer that it consumes."""
    processes = [part(with_intake, name).process for name in ("intake", "gateway")]
    assert all(process is not None and process.alive() for process in processes)
    assert with_intake.down() is True
    assert not any(process is not None and process.alive() for process in processes)
    assert list(with_intake.state.ready.iterdir()) == []
