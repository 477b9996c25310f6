"""The way to Redis or to Elasticsearch fails by halves for a while: calls end in time, nothing is refused for it.

The long form is `./do bench grey`: 30 seconds of each.
"""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.conftest import Servers
from tests.faults.grey import Grey, Patient, behind_gates
from tests.faults.storm import QUICK
from tests.servers.gate import FAULTS

pytestmark = [pytest.mark.stack, pytest.mark.alone]

FAULT_SECONDS = 2.0
WAIT_SECONDS = 1.0
AGAIN_SECONDS = 30.0
SHORT = {**QUICK, "elasticsearch_timeout": "1", "redis_timeout": "0.8", "call_timeout": "1.2"}


@pytest.fixture(scope="module")
def patient(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A system that works, behind gates."""
    folder = tmp_path_factory.mktemp("state")
    with behind_gates(folder, servers.elasticsearch_url, SHORT, wait_seconds=WAIT_SECONDS) as made:
        yield made


@pytest.mark.parametrize("server", ["redis", "elasticsearch"])
@pytest.mark.parametrize("fault", FAULTS)
def test_calls_end_in_time_and_everything_works_again(patient: Patient, server: str, fault: str) -> None:
    """Each call ends by its deadline, typed or right; queries that have time are answered; soon all works again."""
    found = patient.suffer(server, fault, FAULTS[fault], FAULT_SECONDS)
    print(found)  # noqa: T201 - shown when the test fails
    assert (found.late, found.wrong, found.refused) == ([], [], [])
    assert set(found.patient) == {"answered"}
    assert found.works_again < AGAIN_SECONDS
    # A fault that nothing met, or calls that nobody made, would prove nothing.
    assert found.suffered > 0
    assert all(found.calls.values())


def test_what_came_of_a_fault_can_be_kept() -> None:
    """The long form ends in a file, and a call that was late makes it one that does not hold."""
    found = Grey("redis", "cut", 1.0, calls={"wait": Counter(answered=2)}, latest={"wait": -0.5})
    assert found.holds
    found.late.append("wait: 3.00 s beyond its deadline, answered")
    assert not found.holds
    assert json.loads(json.dumps(found.figures()))["ends"] == {"answered": 2}
