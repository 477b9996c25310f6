"""Workers that run out of memory, leave, or hang in native code, in every thread: each role works again.

The long form, with the times that are set by default, is `./do bench deaf_workers`.
"""

import time
from collections.abc import Iterator

import pytest

from second_opinion.workers.routing import ROLES
from tests.conftest import Servers
from tests.faults.faulty_worker import FAULTS
from tests.faults.hospital import Hospital, hospital
from tests.faults.storm import QUICK

pytestmark = pytest.mark.stack

AGAIN_SECONDS = 30.0
STALL_SECONDS = 4.0


@pytest.fixture(scope="module")
def broken(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hospital, float]]:
    """A system that works, and how long its workers take to start, here and now."""
    begun = time.monotonic()
    quick = {**QUICK, "stall_seconds": str(STALL_SECONDS), "worker_threads": "4"}
    with hospital(tmp_path_factory.mktemp("state"), servers.elasticsearch_url, quick) as made:
        yield made, time.monotonic() - begun


@pytest.mark.parametrize("fault", FAULTS)
def test_every_role_works_again(broken: tuple[Hospital, float], fault: str) -> None:
    """All threads of all roles break: each role has finished other work soon after, and what was held is done, too."""
    made, start_seconds = broken
    recoveries = made.break_roles(fault, *ROLES)
    print(recoveries)  # noqa: T201 - shown when the test fails
    # All workers start at once here, and on a busy machine that is most of it.
    assert [one for one in recoveries if one.seconds > AGAIN_SECONDS + start_seconds] == []
    # Only what a body raised is survived by its worker; a hang has to be noticed first.
    replaced = {one.role for one in recoveries if one.started_again}
    assert fault == "leave" or {"intake", "index", "retrieve", "rerank"} <= replaced
    assert fault not in {"hang", "seize"} or all(one.seconds > STALL_SECONDS / 2 for one in recoveries)
    made.finish()
