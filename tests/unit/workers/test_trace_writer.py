"""Traces are written beside the work."""

import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from structlog.testing import capture_logs

from second_opinion.schemas.errors import ErrorInfo, InternalError, OpinionError, StoreUnavailable
from second_opinion.schemas.trace import Trace
from second_opinion.testing.traces import MemoryTraces, a_trace
from second_opinion.workers.trace_writer import MakeTrace, TraceWriter


class FailingTraces(MemoryTraces):
    """A store that fails as often as it is told to."""

    def __init__(self, *problems: OpinionError, each: bool = False) -> None:
        super().__init__()
        self.problems = list(problems)
        self.each = each

    def write(self, traces: Sequence[Trace]) -> list[ErrorInfo | None]:
        """Fail as a whole, or item by item, or write."""
        if not self.problems:
            return super().write(traces)
        problem = self.problems.pop(0)
        if self.each:
            return [problem.info() for _ in traces]
        raise problem


def making(job_id: str) -> MakeTrace:
    return lambda: a_trace(job_id, 0.5)


def until(done: Callable[[], object]) -> None:
    """Wait for something that a thread does, at most five seconds."""
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_trace_is_written_soon() -> None:
    """Without anybody waiting for it."""
    store = MemoryTraces()
    writer = TraceWriter(store, flush_seconds=0.01)
    writer.offer(making("j1"))
    until(lambda: store.get("j1"))
    writer.close()


def test_closing_writes_what_waits() -> None:
    """A worker that is asked to stop loses no trace."""
    store = MemoryTraces()
    writer = TraceWriter(store, flush_seconds=60)
    for name in ("j1", "j2"):
        writer.offer(making(name))
    writer.close()
    assert (store.get("j1"), store.get("j2")) == (a_trace("j1", 0.5), a_trace("j2", 0.5))


def test_a_writer_that_was_offered_nothing_closes_at_once() -> None:
    """It has not even started a thread."""
    TraceWriter(MemoryTraces()).close()


def test_a_store_that_is_away_is_tried_again() -> None:
    """Nothing is dropped while there is room, whether the whole bulk failed or items of it."""
    for each in (False, True):
        store = FailingTraces(StoreUnavailable("away"), StoreUnavailable("away"), each=each)
        writer = TraceWriter(store, flush_seconds=0.01)
        writer.offer(making("j1"))
        until(lambda store=store: store.get("j1"))  # type: ignore[misc] # mypy cannot infer a lambda with a default
        writer.close()
        assert writer.dropped == 0


def test_what_is_refused_for_good_is_dropped_and_logged() -> None:
    """The log says how many and why; later traces are written."""
    store = FailingTraces(InternalError("refused"))
    writer = TraceWriter(store, flush_seconds=60)
    writer.offer(making("j1"))
    with capture_logs() as lines:
        writer.close()
    assert writer.dropped == 1
    told = [(line["event"], line["count"], line["reason"]) for line in lines]
    assert told == [("traces_dropped", 1, "internal_error")]


def test_the_oldest_are_dropped_when_there_is_no_room() -> None:
    """However long the store is away, memory is bounded."""
    store = MemoryTraces()
    writer = TraceWriter(store, room=2, flush_seconds=60)
    for number in range(5):
        writer.offer(making(f"j{number}"))
    with capture_logs() as lines:
        writer.close()
    assert [store.get(f"j{number}") is not None for number in range(5)] == [False, False, False, True, True]
    assert [(line["event"], line["count"]) for line in lines] == [("traces_dropped", 3)]


def test_a_trace_that_cannot_be_made_does_no_harm() -> None:
    """A defect costs traces, never the thread that writes them."""

    def broken() -> NoReturn:
        raise KeyError("chunk")

    store = MemoryTraces()
    writer = TraceWriter(store, flush_seconds=0.01)
    with capture_logs():
        writer.offer(broken)
        until(lambda: writer.dropped == 1)
        writer.offer(making("j2"))
        until(lambda: store.get("j2"))
        writer.close()
