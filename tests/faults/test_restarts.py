"""A rolling restart by SIGTERM, and Redis lost with all it kept, while callers write, delete and ask."""

from pathlib import Path

import pytest

from second_opinion.workers.routing import ROLES
from tests.conftest import Servers
from tests.faults import shelf
from tests.faults.storm import REDIS, Plan, Storm

pytestmark = pytest.mark.stack

# On a busy machine workers take a minute to start; no query may fail for that.
PATIENCE_SECONDS = 300.0


def test_a_rolling_restart_fails_no_query(servers: Servers, tmp_path: Path) -> None:
    """Each role is asked to stop and started again: workers end in their grace time, every query is answered."""
    plan = Plan(
        shelf.own_words(60),
        kills=len(ROLES),
        seed=3,
        pause=(0.5, 1.5),
        room=40,
        victims=tuple(ROLES),
        gently=True,
        patience=PATIENCE_SECONDS,
    )
    outcome = Storm(plan, tmp_path, servers.elasticsearch_url, print).run()
    print(outcome.figures())  # noqa: T201 - shown when the test fails
    assert (outcome.findings.wrong(), outcome.problems, outcome.unrescued) == ({}, [], [])
    assert outcome.exits == {}, "a worker did not end in time"
    assert set(outcome.queries) <= {"query done", *(one for one in outcome.queries if one.startswith("tried again"))}
    assert outcome.queries["query done"] > 0


def test_redis_lost_with_all_it_kept_loses_no_document(servers: Servers, tmp_path: Path) -> None:
    """Killed without its file, twice: every accepted document is searchable anyway; queries end, or are unknown."""
    plan = Plan(shelf.own_words(60), kills=2, seed=5, pause=(2.0, 4.0), room=60, victims=(REDIS,), redis_forgets=True)
    outcome = Storm(plan, tmp_path, servers.elasticsearch_url, print).run()
    print(outcome.figures())  # noqa: T201 - shown when the test fails
    assert (outcome.findings.wrong(), outcome.problems, outcome.unrescued) == ({}, [], [])
    assert outcome.killed == {REDIS: 2}
    assert outcome.rescues, "no document was on its way when Redis was lost"
    assert outcome.counts["editions"] >= len(plan.works)
