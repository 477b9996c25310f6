"""Do the tests test? Each known bug, put back alone, is found by the simulation."""

import pytest

from second_opinion.testing.simulation import simulate
from tests.simulation.known_bugs import INGEST_BUGS, Bug

SEEDS = 100


@pytest.mark.parametrize("bug", INGEST_BUGS, ids=lambda bug: bug.__name__)
def test_a_known_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a hundred seeds, one breaks a promise."""
    bug(monkeypatch)
    assert any(simulate(seed).violations for seed in range(SEEDS))
