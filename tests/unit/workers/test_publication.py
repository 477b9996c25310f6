"""A rerank worker says what its model is."""

import threading

from structlog.testing import capture_logs

from second_opinion.pipeline.calibration import score_canaries
from second_opinion.schemas.calibration import CalibrationKey, RerankerRecord
from second_opinion.schemas.errors import InvalidRequest, OpinionError, StoreUnavailable
from second_opinion.testing.calibrations import MemoryCalibrations
from second_opinion.testing.models import WordReranker
from second_opinion.workers.publication import PAUSE_SECONDS, publish


class AwayFirst(MemoryCalibrations):
    """A store that fails a few times before it answers."""

    def __init__(self, *problems: OpinionError) -> None:
        super().__init__()
        self._problems = list(problems)

    def publish(self, record: RerankerRecord) -> None:
        """Fail, or keep."""
        if self._problems:
            raise self._problems.pop(0)
        super().publish(record)


def a_record() -> RerankerRecord:
    reranker = WordReranker()
    return RerankerRecord(
        key=CalibrationKey.of(reranker.spec), canaries=score_canaries(reranker), published_at=1_700_000_000.0
    )


def test_it_is_said_until_it_is_heard() -> None:
    """A worker that starts before Elasticsearch is known to it soon after; each try is logged."""
    store = AwayFirst(StoreUnavailable("starting"), StoreUnavailable("starting"))
    waits: list[float] = []
    with capture_logs() as logs:
        publish(store, a_record(), wait=waits.append).join(10)
    assert store.rerankers() == [a_record()]
    assert waits == [PAUSE_SECONDS] * 2
    assert [one["event"] for one in logs] == ["reranker_not_published"] * 2


def test_what_is_refused_for_good_is_not_said_again() -> None:
    """The worker judges all the same."""
    store = AwayFirst(InvalidRequest("no"))
    with capture_logs() as logs:
        publish(store, a_record(), wait=lambda _: None).join(10)
    assert store.rerankers() == []
    assert [(one["event"], one["again"]) for one in logs] == [("reranker_not_published", False)]


def test_nobody_waits_for_it() -> None:
    """The call returns while the store is still away."""
    gate = threading.Event()
    store = AwayFirst(StoreUnavailable("starting"))
    thread = publish(store, a_record(), wait=gate.wait)
    assert thread.daemon
    gate.set()
    thread.join(10)
    assert store.rerankers() == [a_record()]
