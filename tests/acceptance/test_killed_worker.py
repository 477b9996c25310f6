"""SIGKILL in the middle of ingest: nothing is lost, nothing is there twice."""

import time

from second_opinion.schemas.document import DocumentInput
from second_opinion.workers.parts import Stores
from second_opinion.workers.stores import open_elasticsearch
from tests.acceptance.conftest import System, wait_until

DOCUMENTS = 140
# More than the attempts allowed: being in the hands of killed workers is no fault.
KILLS = 4


def text(number: int) -> str:
    rooms = " ".join(
        f"Shelf {shelf} of room {number} holds the ledgers of year {1_800 + shelf}." for shelf in range(12)
    )
    return f"Room {number} of the archive.\n\n{rooms}"


def test_a_killed_index_worker_loses_and_doubles_nothing(system: System) -> None:
    """Killed several times in the middle of batches: every document ends indexed, with one set of chunks."""
    system.start("maintenance", "index")
    stores = open_elasticsearch(system.settings)
    with system.client() as client:
        sent = [
            DocumentInput(id=f"room/{number}", title=f"Room {number}", text=text(number)) for number in range(DOCUMENTS)
        ]
        receipts = client.submit_documents(sent)
        assert len(receipts) == DOCUMENTS
        for kill in range(KILLS):
            searchable = min(DOCUMENTS - 1, 10 + 25 * kill)
            wait_until(lambda wanted=searchable: indexed(stores) >= wanted, 60)
            time.sleep(0.2)
            system.of("index")[0].kill()
            system.start("index")
        settled = client.wait_documents(receipts, timeout=180.0)
        assert len(settled) == DOCUMENTS
        assert all(one.searchable for one in settled)
        statuses = [client.document_status(document.id) for document in sent]
        assert all(status.current for status in statuses)
        committed = sum(status.chunks for status in statuses)
        # The sweeper removes what the killed attempts left; then the index holds the committed chunks and no others.
        wait_until(lambda: chunks(stores) == committed, 120, lambda: f"{chunks(stores)} chunks, {committed} committed")


def chunks(stores: Stores) -> int:
    index = stores.collections.get("default").index
    stores.chunks.refresh(index)
    return stores.chunks.count(index)


def indexed(stores: Stores) -> int:
    records = stores.documents.listed("default", state="indexed", after=None, limit=10_000)
    return sum(1 for record in records if record.committed)
