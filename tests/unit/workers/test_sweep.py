"""The periodic sweep keeps the promise of how long traces are kept."""

from dataclasses import replace
from typing import Any, cast

from second_opinion.pipeline.ingest import Policy
from second_opinion.pipeline.ingest.sweep import Sweeper
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.testing.chunks import MemoryChunks
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.collections import MemoryCollections
from second_opinion.testing.ingest import memory_stores
from second_opinion.testing.traces import MemoryTraces, a_trace
from second_opinion.workers.parts import MaintenanceParts
from second_opinion.workers.tasks.ingest import Tick, sweep

NOW = 1_700_000_000.0
DAY = 86_400.0
FINGERPRINT = IndexFingerprint(embedding_model="m", embedding_revision="1", dims=8, chunker="c")


class SlowChunks(MemoryChunks):
    """Takes two seconds to be read."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def write_sets(self, *args: Any, **choices: Any) -> list[Any]:
        """Take the time."""
        self._clock.advance(2.0)
        return super().write_sets(*args, **choices)


def test_a_sweep_drops_old_traces_and_ends_loads_left_behind() -> None:
    """Traces of whole days beyond the limit go, younger ones stay; a load that somebody keeps up goes on."""
    clock, traces = ManualClock(NOW), MemoryTraces()
    traces.write([a_trace(f"j{age}", 0.5, at=NOW - age * DAY) for age in (0, 29, 32, 90)])
    collections = MemoryCollections(FINGERPRINT)
    collections.begin_load("left", until=NOW - 1.0)
    collections.begin_load("going-on", until=NOW + 1.0)
    parts = MaintenanceParts(
        hands=cast("Any", None),
        rescue=cast("Any", None),
        reconciler=cast("Any", None),
        reindexer=cast("Any", None),
        sweeper=Sweeper(memory_stores(FINGERPRINT, clock=clock), Policy()),
        collections=cast("Any", collections),
        traces=cast("Any", traces),
        trace_days=30,
        clock=cast("Any", clock),
    )
    facts = sweep(Tick(), parts)
    assert facts["trace_indices"] == 2
    assert facts["bulk_loads"] == 1
    assert [record.load is None for record in collections.records()] == [False, True]
    assert [traces.get(f"j{age}") is not None for age in (0, 29, 32, 90)] == [True, True, False, False]


def test_a_sweep_that_took_long_is_not_begun_again_at_once() -> None:
    """It reads all that is stored, so the more there is, the longer the pause: two seconds of work, 100 of rest."""
    clock = ManualClock(NOW)
    stores = memory_stores(FINGERPRINT, clock=clock)
    stores.collections.ensure("default")
    sweeper = Sweeper(replace(stores, chunks=SlowChunks(clock)), Policy())
    assert sweeper.due
    sweeper.sweep()
    assert not sweeper.due
    clock.advance(99.0)
    assert not sweeper.due
    clock.advance(1.0)
    assert sweeper.due
