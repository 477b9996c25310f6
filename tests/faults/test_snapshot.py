"""All is lost and comes back from a snapshot whose parts are of different moments: every document is whole again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from second_opinion import Client
from second_opinion.pipeline.adapters.elasticsearch import Connection, IndexNames
from second_opinion.schemas.document import DocumentState
from second_opinion.workers.stores import open_connection
from tests.conftest import Servers
from tests.faults import shelf
from tests.faults.checker import check
from tests.faults.ledger import Account
from tests.faults.observe import Observer
from tests.faults.own_system import OwnSystem, remove_indices
from tests.faults.storm import QUICK

pytestmark = pytest.mark.stack

PATIENCE_SECONDS = 240.0
WORKS = shelf.own_words(12)
CHANGED = range(0, 12, 3)
DELETED = 1


def test_what_comes_back_from_a_snapshot_is_made_whole(servers: Servers, tmp_path: Path) -> None:
    """Chunks are a while younger than records: what was changed or deleted in between lacks its chunks at first."""
    system = OwnSystem(tmp_path, servers.elasticsearch_url, told=QUICK, name="restored")
    connection = open_connection(system.settings)
    names = IndexNames(system.settings.index_prefix)
    with system.running() as client, repository(connection, names.prefix) as snapshots:
        send(client, range(len(WORKS)), edition=1)
        snapshots.take("records", f"{names.prefix}-*,-{names.prefix}-chunks-*")
        send(client, CHANGED, edition=2)
        client.delete_document(shelf.name(DELETED))
        snapshots.take("chunks", f"{names.prefix}-chunks-*")

        for worker in system.workers.values():
            worker.kill()
        system.redis.kill()
        system.redis.lose_everything()
        remove_indices(system.settings)
        snapshots.bring_back("records")
        snapshots.bring_back("chunks")
        observer = Observer(connection, names.prefix)
        chunks = {(one.work, one.edition) for one in observer.chunks()}
        assert {(work, 1) for work in (*CHANGED, DELETED)} & chunks == set(), "nothing is torn: the test shows nothing"

        system.redis.start()
        for worker in system.workers.values():
            worker.start()
        account = Account(editions={work: {1} for work in range(len(WORKS))})
        wait_until_whole(observer, account, client)
        job = client.query(WORKS.question(0), floor=0.0, candidates=8, timeout=PATIENCE_SECONDS)
        assert job.kept
        assert all(one.metadata[shelf.EDITION] == 1 for one in job.kept)
    connection.close()


def send(client: Client, works: range, *, edition: int) -> None:
    """Send an edition of some works and wait until it is searchable."""
    receipts = client.submit_documents([WORKS.payload(work, edition) for work in works])
    settled = client.wait_documents(receipts, timeout=PATIENCE_SECONDS)
    assert [one.status and one.status.state for one in settled] == [DocumentState.INDEXED] * len(works)


def wait_until_whole(observer: Observer, account: Account, client: Client) -> None:
    """Wait until the set checker finds nothing: all of the first edition, and nothing else."""
    until = time.monotonic() + PATIENCE_SECONDS
    while wrong := check(account, observer.everything(client, ()), WORKS.text).wrong():
        assert time.monotonic() < until, wrong
        time.sleep(1.0)


class Snapshots:
    """Snapshots of one repository."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._client = connection.writes.options(request_timeout=PATIENCE_SECONDS)
        self._name = name

    def take(self, name: str, indices: str) -> None:
        """Take a snapshot and wait for it."""
        taken = self._client.snapshot.create(
            repository=self._name,
            snapshot=name,
            indices=indices,
            include_global_state=False,
            wait_for_completion=True,
        )
        assert taken["snapshot"]["state"] == "SUCCESS"
        assert taken["snapshot"]["indices"]

    def bring_back(self, name: str) -> None:
        """Restore a snapshot and wait for it."""
        self._client.snapshot.restore(repository=self._name, snapshot=name, wait_for_completion=True)


@contextmanager
def repository(connection: Connection, name: str) -> Iterator[Snapshots]:
    """Register a folder of the local stack for snapshots; remove all of it afterwards."""
    client = connection.writes
    client.snapshot.create_repository(name=name, repository={"type": "fs", "settings": {"location": name}})
    try:
        yield Snapshots(connection, name)
    finally:
        client.options(ignore_status=404).snapshot.delete(repository=name, snapshot="*")
        client.snapshot.delete_repository(name=name)
