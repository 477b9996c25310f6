"""Do the tests test? Each known bug, put back alone, is found by the simulation."""

import pytest

from second_opinion.testing.simulation import simulate
from tests.simulation.known_bugs import INGEST_BUGS, Bug
from tests.simulation.known_query_bugs import QUERY_BUGS

SEEDS = 500


@pytest.mark.parametrize("bug", [*INGEST_BUGS, *QUERY_BUGS], ids=lambda bug: bug.__name__)
def test_a_known_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the seeds of the short form, one breaks a promise."""
    bug(monkeypatch)
    assert any(simulate(seed).violations for seed in range(SEEDS))
