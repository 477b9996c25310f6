"""SIGKILL of every role and of Redis while callers write, delete and ask: nothing lost, twice, mixed or stuck."""

from pathlib import Path

import pytest

from second_opinion.workers.routing import ROLES
from tests.conftest import Servers
from tests.faults import shelf
from tests.faults.storm import REDIS, Plan, Storm

pytestmark = pytest.mark.stack

# The long form: ./do bench kills --kills 200 --documents 5000
KILLS = len(ROLES) + 2
RESCUED_SECONDS = 60.0


def test_a_storm_of_kills_loses_and_doubles_nothing(servers: Servers, tmp_path: Path) -> None:
    """Each role and Redis are killed at random moments; afterwards the set checker finds what callers were told."""
    plan = Plan(shelf.own_words(60), kills=KILLS, seed=7, pause=(0.5, 2.0), room=40)
    outcome = Storm(plan, tmp_path, servers.elasticsearch_url, print).run()
    print(outcome.figures())  # noqa: T201 - shown when the test fails
    assert outcome.findings.wrong() == {}
    assert outcome.problems == []
    assert outcome.unrescued == []
    assert set(outcome.killed) == {*ROLES, REDIS}
    # A storm in which nothing happened would prove nothing.
    assert outcome.counts["editions"] >= len(plan.works)
    assert outcome.counts["deletions"] > 0
    assert outcome.queries["query done"] > 0
    assert max(outcome.noticed, default=0.0) < RESCUED_SECONDS
    assert outcome.exits == {}, "a worker ended by itself"
