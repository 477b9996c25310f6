"""The periodic sweep keeps the promise of how long traces are kept."""

from typing import Any, cast

from second_opinion.pipeline.ingest import Policy
from second_opinion.pipeline.ingest.clean import Sweeper
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.ingest import memory_stores
from second_opinion.testing.traces import MemoryTraces, a_trace
from second_opinion.workers.bootstrap import MaintenanceParts
from second_opinion.workers.tasks.ingest import Tick, sweep

NOW = 1_700_000_000.0
DAY = 86_400.0
FINGERPRINT = IndexFingerprint(embedding_model="m", embedding_revision="1", dims=8, chunker="c")


def test_a_sweep_drops_traces_that_are_too_old() -> None:
    """Those of whole days beyond the limit; younger ones stay."""
    clock, traces = ManualClock(NOW), MemoryTraces()
    traces.write([a_trace(f"j{age}", 0.5, at=NOW - age * DAY) for age in (0, 29, 32, 90)])
    parts = MaintenanceParts(
        rescue=cast("Any", None),
        reconciler=cast("Any", None),
        sweeper=Sweeper(memory_stores(FINGERPRINT, clock=clock), Policy()),
        traces=cast("Any", traces),
        trace_days=30,
        clock=cast("Any", clock),
    )
    facts = sweep(Tick(), parts)
    assert facts["trace_indices"] == 2
    assert [traces.get(f"j{age}") is not None for age in (0, 29, 32, 90)] == [True, True, False, False]
