"""A crash at calls to the outside, of ingest and of query, one at a time and in pairs.

Here at every twentieth call and at forty pairs; at every call and five hundred pairs by
`python -m second_opinion.testing.simulation --crash-points`.
"""

import pytest

from second_opinion.testing.simulation.crash_points import KINDS, every_call, pairs
from second_opinion.testing.simulation.faults import FaultKind

STRIDE = 20
LEAST_RUNS = 20
PAIRS = 40


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_a_call_is_recovered_from(kind: FaultKind) -> None:
    """A process ends before its call has its effect, or right after: every promise is kept."""
    runs = list(every_call(kind, stride=STRIDE))
    assert len(runs) >= LEAST_RUNS
    assert [run for run in runs if run.violations] == []


def test_two_crashes_are_recovered_from() -> None:
    """Wherever they fall, every promise is kept."""
    runs = list(pairs(PAIRS, within=LEAST_RUNS * STRIDE))
    assert len(runs) == PAIRS
    assert [run for run in runs if run.violations] == []
