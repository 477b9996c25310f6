"""A task's body always ends in an outcome."""

from collections.abc import Callable

import pytest
import structlog
from structlog.testing import capture_logs

from second_opinion.schemas.errors import StoreUnavailable
from second_opinion.schemas.messages import RunQuery
from second_opinion.workers.runner import MEMORY_EXIT, Facts, TaskRunner
from second_opinion.workers.watchdog import Limits, Watchdog


def run(payload: object, body: Callable[[RunQuery], Facts]) -> tuple[list[dict[str, object]], list[int]]:
    left: list[int] = []
    runner = TaskRunner(Watchdog(Limits(task=10, shutdown_grace=10)), leave=left.append)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        runner.run("opinion.retrieve", RunQuery, payload, body, task_id="message-1")
    return [dict(line) for line in lines], left


def raising(problem: BaseException) -> Callable[[RunQuery], Facts]:
    def body(message: RunQuery) -> Facts:
        raise problem

    return body


def test_success_is_one_line_with_the_facts() -> None:
    """A task that succeeds logs once, with what it said about its work."""
    lines, _ = run({"job_id": "j"}, lambda message: {"job": message.job_id})
    told = {"event": "task_done", "task": "opinion.retrieve", "task_id": "message-1", "job": "j"}
    assert [line | told for line in lines] == lines
    assert len(lines) == 1


def test_our_errors_are_logged_with_their_code() -> None:
    """An error of the tree is an expected outcome: one line, no traceback."""
    lines, _ = run({"job_id": "j"}, raising(StoreUnavailable("gone")))
    assert [(line["event"], line["code"]) for line in lines] == [("task_failed", "store_unavailable")]


@pytest.mark.parametrize("problem", [SystemExit(1), KeyboardInterrupt(), RecursionError(), ValueError("x")])
def test_nothing_leaves_the_body(problem: BaseException) -> None:
    """Even a SystemExit becomes an outcome; raised through Celery's pool it would deafen a thread."""
    lines, left = run({"job_id": "j"}, raising(problem))
    assert [line["event"] for line in lines] == ["task_broke", "task_failed"]
    assert lines[1]["code"] == "internal_error"
    assert left == []


def test_memory_errors_leave_the_process() -> None:
    """After a MemoryError nothing in the process can be trusted; leases rescue its work."""
    _, left = run({"job_id": "j"}, raising(MemoryError()))
    assert left == [MEMORY_EXIT]


@pytest.mark.parametrize("payload", [None, 7, "x", [], {}, {"job_id": None}, {"job_id": {"a": 1}}])
def test_an_unreadable_message_is_an_outcome(payload: object) -> None:
    """A malformed payload is recorded with its code and never reaches the body."""
    lines, _ = run(payload, raising(AssertionError("reached")))
    assert [(line["event"], line["code"]) for line in lines] == [("task_failed", "invalid_request")]


def test_unknown_fields_are_ignored_inside() -> None:
    """A newer sender may add fields to a message: rolling deploys run both side by side."""
    lines, _ = run({"job_id": "j", "added_later": 1, "schema_version": 2}, lambda message: {"job": message.job_id})
    assert lines[0]["event"] == "task_done"


def test_lines_carry_the_request_that_a_message_comes_from() -> None:
    """The body's own lines and the task's one line, and nothing of it stays behind for the next message."""
    lines, _ = run(
        {"job_id": "j", "request_id": "web-17"}, lambda _: structlog.get_logger().info("within") or {"job": "j"}
    )
    assert [(line["event"], line["request_id"]) for line in lines] == [("within", "web-17"), ("task_done", "web-17")]
    lines, _ = run({"job_id": "j"}, lambda message: {"job": message.job_id})
    assert "request_id" not in lines[0]


@pytest.mark.parametrize("strange", [17, None, ["web"], "x" * 1_000])
def test_a_strange_request_id_does_no_harm(strange: object) -> None:
    """Whoever sends by name may write what they like there; a line holds 64 characters of it at most."""
    lines, _ = run({"job_id": "j", "request_id": strange}, lambda message: {"job": message.job_id})
    assert lines[0]["event"] == "task_done"
    assert len(str(lines[0].get("request_id", ""))) <= 64
