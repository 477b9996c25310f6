"""Ten times as many documents beside queries: all queries are answered, and nearly as soon.

The long form is `./do bench flood`, which also says how much later: a minute on a machine that others share cannot.
"""

from pathlib import Path

import pytest

from tests.conftest import Servers
from tests.faults.flood import CALM, FLOOD, Phase, Rates, River, figures
from tests.faults.own_system import OwnSystem

SECONDS = 6.0
MOST_RATIO = 4.0
RATES = Rates(queries=1.0, calm=1.5, flood=12.0, candidates=10)


@pytest.mark.stack
@pytest.mark.alone
def test_a_flood_of_documents_does_not_starve_queries(servers: Servers, tmp_path: Path) -> None:
    """Every query is answered while documents come as fast as they can be taken; the median stays of its order."""
    with OwnSystem(tmp_path, servers.elasticsearch_url, name="flood").running() as client:
        river = River(client, RATES, documents=30)
        found = figures([river.phase(CALM, SECONDS), river.phase(FLOOD, SECONDS)])
    print(found)  # noqa: T201 - shown when the test fails
    assert (found[CALM]["failed"], found[FLOOD]["failed"]) == ([], [])
    assert found[FLOOD]["queries"] >= SECONDS * RATES.queries
    assert found["p50_ratio"]["value"] < MOST_RATIO
    # A flood that is none would prove nothing.
    assert found[FLOOD]["documents_sent_a_second"] > 3 * found[CALM]["documents_sent_a_second"]


def phase(kind: str, seconds: float) -> Phase:
    return Phase(kind, latencies=[seconds] * 19 + [3 * seconds] * 2, seconds=1.0)


def test_queries_that_take_longer_in_a_flood_are_told() -> None:
    """The ratio is that of the percentiles; queries that were not answered are named."""
    slow = phase(FLOOD, 0.3)
    slow.failed.append("deadline_exceeded: no answer")
    found = figures([phase(CALM, 0.2), slow, phase(FLOOD, 0.3), phase(CALM, 0.2)])
    assert found["p50_ratio"] == {"value": 1.5, "low": 1.5, "high": 1.5}
    assert found["p95_ratio"]["value"] == 1.5
    assert found[FLOOD]["failed"] == ["deadline_exceeded: no answer"]
