"""SIGTERM in the middle of ingest: what cannot be finished is given back in order, and no document is blamed for it."""

from second_opinion.schemas.document import DocumentInput, DocumentRecord
from second_opinion.workers.parts import Stores
from second_opinion.workers.stores import open_elasticsearch
from tests.acceptance.conftest import System, wait_until

DOCUMENTS = 160
GRACE_SECONDS = 8.0
BATCH = 32


def text(number: int) -> str:
    drawers = (f"Drawer {drawer} of cabinet {number} keeps the maps of county {drawer}." for drawer in range(144))
    return " ".join(drawers)


def test_an_index_worker_that_is_stopped_gives_its_work_back(system: System) -> None:
    """It ends in its grace time with status 0; what it had is taken up by the next one, none of it as a suspect."""
    system.environment = {**system.environment, "OPINION_SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS)}
    system.start("maintenance", "index")
    stores = open_elasticsearch(system.settings)
    with system.client() as client:
        sent = [DocumentInput(id=f"cabinet/{number}", text=text(number)) for number in range(DOCUMENTS)]
        client.submit_documents(sent)
        wait_until(lambda: any(one.lease_owner for one in unfinished(stores)), 60)
        (worker,) = system.of("index")
        worker.stop()
        assert (worker.process.returncode, "shutdown_overdue" in worker.log) == (0, False)
        # A search sees what was written a moment ago.
        wait_until(lambda: not any(one.lease_owner for one in unfinished(stores)), 10)
        left = unfinished(stores)
        assert left, "it had finished everything, so nothing could be given back"
        assert any(one.error is not None and one.error.code == "worker_stopping" for one in left)
        system.start("index")
        wait_until(lambda: len(unfinished(stores)) <= len(left) - BATCH, 120)
        assert {(one.losses, one.failures) for one in records(stores)} == {(0, 0)}


def records(stores: Stores) -> list[DocumentRecord]:
    return list(stores.documents.listed("default", state=None, after=None, limit=10_000))


def unfinished(stores: Stores) -> list[DocumentRecord]:
    return list(stores.documents.listed("default", state="received", after=None, limit=10_000))
