"""The local stack comes up, survives what happens to its processes, and goes down without a trace."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis
from elasticsearch import Elasticsearch

from second_opinion.ops.filesystem import is_locked
from second_opinion.ops.plan import StackPlan
from second_opinion.ops.ports import LOOPBACK, is_free
from second_opinion.ops.stack import LocalStack
from second_opinion.ops.status import PartState, ProcessIdentity
from second_opinion.schemas.errors import PartFailed, PortInUse, StackError, StateUnusable

pytestmark = pytest.mark.stack
SERVERS = ["elasticsearch", "redis"]


def plan_of(stack: LocalStack) -> StackPlan:
    """Return the plan of a stack that is up."""
    plan = stack.plan()
    assert plan is not None
    return plan


def process_of(stack: LocalStack, name: str) -> ProcessIdentity:
    """Return the process of a part that has one."""
    part = stack.status().part(name)
    assert part is not None
    assert part.process is not None
    return part.process


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for `condition`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_ready(stack: LocalStack, name: str) -> bool:
    """Whether a part is ready."""
    part = stack.status().part(name)
    return part is not None and part.state is PartState.READY


def put(plan: StackPlan, document: str) -> None:
    """Write a document to Elasticsearch and a key to Redis, and let Redis write it to disk."""
    with Elasticsearch(plan.elasticsearch_url, request_timeout=30) as client:
        client.index(index="kept", id=document, document={}, refresh=True)
    with redis.Redis.from_url(plan.jobs_url) as client:
        client.set(document, "kept")
    time.sleep(1.5)


def has(plan: StackPlan, document: str) -> bool:
    """Whether both servers still have what `put` wrote."""
    with Elasticsearch(plan.elasticsearch_url, request_timeout=30) as client:
        found = bool(client.exists(index="kept", id=document))
    with redis.Redis.from_url(plan.jobs_url) as client:
        return found and client.get(document) == b"kept"


def processes_of(stack: LocalStack) -> list[psutil.Process]:
    """Return every living process of a running stack."""
    supervisor = stack.status().supervisor
    assert supervisor is not None
    process = psutil.Process(supervisor.pid)
    return [process, *process.children(recursive=True)]


@pytest.mark.alone
def test_a_second_up_changes_nothing(running: LocalStack) -> None:
    """Up is idempotent: the same processes, the same addresses, at once."""
    before, plan = running.status(), running.plan()
    began = time.monotonic()
    assert running.up({}) == plan
    assert time.monotonic() - began < 1.0
    assert running.status() == before


def test_a_second_up_refuses_to_move_the_ports(running: LocalStack) -> None:
    """Asking for other ports than those in use is told, not ignored."""
    plan = plan_of(running)
    other = LocalStack(running.state.root, redis_port=plan.redis_port + 1)
    with pytest.raises(StackError, match=f"Redis on port {plan.redis_port} and not {plan.redis_port + 1}"):
        other.up({})


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_is_killed_comes_back_with_its_data(running: LocalStack, server: str) -> None:
    """SIGKILL costs seconds, and nothing that was on disk."""
    plan, victim = plan_of(running), process_of(running, server)
    put(plan, f"before-{server}-died")
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: is_ready(running, server) and process_of(running, server) != victim)
    assert has(plan, f"before-{server}-died")


def test_a_status_that_cannot_be_written_does_not_end_the_supervisor(running: LocalStack) -> None:
    """A full disk is when parts need their supervisor most; the status is written once there is room again."""
    supervisor, victim = processes_of(running)[0], process_of(running, "redis")
    running.state.status_file.unlink()
    running.state.status_file.mkdir()
    os.kill(victim.pid, signal.SIGKILL)
    time.sleep(3)
    assert supervisor.is_running()
    running.state.status_file.rmdir()
    wait_until(lambda: is_ready(running, "redis") and process_of(running, "redis") != victim)


def test_down_leaves_no_process_no_port_and_no_file_that_says_it_runs(running: LocalStack) -> None:
    """After down everything is as before up, but for data and logs; a second down says that nothing ran."""
    plan, processes = plan_of(running), processes_of(running)
    put(plan, "before-down")
    assert running.down() is True
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert is_free(plan.elasticsearch_port)
    assert is_free(plan.redis_port)
    assert not running.state.stack_file.exists()
    assert running.status().parts == ()
    assert running.down() is False
    assert has(running.up({}), "before-down")


def test_up_recovers_what_a_killed_supervisor_left_behind(running: LocalStack) -> None:
    """Orphans are shown as lost; up ends them, starts anew and keeps the data."""
    put(plan_of(running), "before-supervisor-died")
    supervisor, *orphans = processes_of(running)
    supervisor.kill()
    wait_until(lambda: not is_locked(running.state.supervisor_lock), 5)
    assert [part.state for part in running.status().parts] == [PartState.LOST, PartState.LOST]
    assert has(running.up({}), "before-supervisor-died")
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in orphans)


def test_up_waits_for_a_down_that_was_not_finished(running: LocalStack) -> None:
    """A supervisor that is still stopping is awaited, never joined."""
    supervisor = processes_of(running)[0]
    supervisor.terminate()
    wait_until(lambda: running.status().stopping or not supervisor.is_running(), 5)
    running.up({})
    assert all(is_ready(running, name) for name in SERVERS)
    assert process_of(running, "redis").alive()


def test_files_of_a_stack_that_a_power_cut_ended_are_harmless(running: LocalStack) -> None:
    """Pids and addresses of another time are not believed, and no stranger with such a pid is touched."""
    state = running.state
    plan, status = state.stack_file.read_bytes(), json.loads(state.status_file.read_bytes())
    running.down()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        for part in status["parts"]:
            part["process"]["pid"] = stranger.pid
        state.stack_file.write_bytes(plan)
        state.status_file.write_text(json.dumps(status), encoding="utf-8")
        assert not running.status().running
        running.up({})
        assert all(is_ready(running, name) for name in SERVERS)
        assert stranger.poll() is None
        stranger.kill()


def test_a_port_that_is_taken_is_told_with_its_holder(reachable_folder: Path) -> None:
    """Nothing starts, and the message names the program in the way."""
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        port = holder.getsockname()[1]
        stack = LocalStack(reachable_folder / "state", elasticsearch_port=0, redis_port=port)
        with pytest.raises(PortInUse, match=f"port {port}: .*pid {os.getpid()}"):
            stack.up({})
    assert not stack.status().running
    assert not stack.state.stack_file.exists()


def test_an_elasticsearch_that_cannot_start_is_told_with_its_last_words(reachable_folder: Path) -> None:
    """The log's end is in the message, and the rest of the stack is stopped again."""
    stack = LocalStack(reachable_folder / "state", elasticsearch_port=0, redis_port=0, heap="1m")
    with pytest.raises(PartFailed, match=r"(?s)elasticsearch ended while starting.*heap") as caught:
        stack.up({})
    assert caught.value.hint.endswith("opinion logs elasticsearch")
    assert not stack.status().running
    assert stack.status().parts == ()


@pytest.mark.usefixtures("only_root")
def test_a_state_folder_that_the_lent_account_cannot_reach_is_told(tmp_path: Path) -> None:
    """As root, a private folder is refused with the folder that is closed, before anything starts."""
    tmp_path.chmod(0o700)
    stack = LocalStack(tmp_path / "state", elasticsearch_port=0, redis_port=0)
    with pytest.raises(StateUnusable, match="cannot enter"):
        stack.up({})
    assert not stack.status().running
