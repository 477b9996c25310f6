"""How long a message of documents may be worked on."""

import pytest

from second_opinion.schemas.errors import DeadlineExceeded, WorkerStopping
from second_opinion.workers.tasks.ingest import Patience


def test_work_ends_at_its_limit() -> None:
    """Each piece of work has the whole time, from its own beginning on."""
    Patience(60.0).guard()()
    with pytest.raises(DeadlineExceeded, match="0 seconds"):
        Patience(0.0).guard()()


def test_work_ends_when_its_worker_stops() -> None:
    """As soon as the worker says so, and as an error that means the same work succeeds elsewhere."""
    stops: list[bool] = []
    guard = Patience(60.0, lambda: bool(stops)).guard()
    guard()
    stops.append(True)
    with pytest.raises(WorkerStopping) as caught:
        guard()
    assert caught.value.info().transient
