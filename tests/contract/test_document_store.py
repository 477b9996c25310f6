"""What every store of document records does: the double and Elasticsearch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchDocuments, IndexNames
from second_opinion.pipeline.ports import DocumentStore, Seen, Swap
from second_opinion.schemas.chunk import write_set_id
from second_opinion.schemas.document import DocumentRecord, DocumentState, WriteSet
from second_opinion.schemas.errors import EmptyDocument
from second_opinion.testing.documents import MemoryDocuments

NOW = 1_700_000_000.0


@dataclass
class Kept:
    """A store, and a way to make its listings current."""

    documents: DocumentStore
    settle: Callable[[], object]

    def create(self, record: DocumentRecord) -> Seen:
        """Create a record and return it as stored."""
        (seen,) = self.documents.swap([Swap(record, None)])
        assert seen is not None
        return seen


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def kept(request: pytest.FixtureRequest) -> Kept:
    """A store of either kind."""
    if request.param == "double":
        return Kept(MemoryDocuments(), lambda: None)
    connection: Connection = request.getfixturevalue("elasticsearch")
    names: IndexNames = request.getfixturevalue("names")
    return Kept(
        ElasticsearchDocuments(connection, names),
        lambda: connection.writes.indices.refresh(index=names.documents, ignore_unavailable=True),
    )


def a_record(key: str = "k1", **fields: object) -> DocumentRecord:
    """Return a received document."""
    told = {
        "key": key,
        "collection": "default",
        "document_id": f"leaflets/{key} ü",
        "content_hash": "hash",
        "target": "g1",
        "state": DocumentState.RECEIVED,
        "enqueued_at": NOW,
        "accepted_at": NOW,
        "updated_at": NOW,
    }
    return DocumentRecord.model_validate({**told, **fields})


def test_what_was_stored_comes_back_whole(kept: Kept) -> None:
    """A record with every field set is read back equal, in real time, and unknown keys are left out."""
    record = a_record(
        title="Dose › child",
        source_version=2**62,
        committed={"index-1": WriteSet(write_set=write_set_id("g0", 2), chunks=3)},
        error=EmptyDocument("nothing there").info(),
        lease_owner="me",
        lease_until=NOW + 0.25,
    )
    kept.create(record)
    assert {key: seen.record for key, seen in kept.documents.get(["k1", "missing", "k1"]).items()} == {"k1": record}


def test_an_empty_store_holds_nothing(kept: Kept) -> None:
    """Before anything was written, reads find nothing and raise nothing."""
    assert kept.documents.get(["k1"]) == {}
    assert kept.documents.listed("default", state=None, after=None, limit=10) == []
    assert kept.documents.count_waiting(now=NOW) == 0
    assert kept.documents.lost(now=NOW, limit=10) == []


def test_a_swap_with_an_old_view_changes_nothing(kept: Kept) -> None:
    """The second of two writers who saw the same record gets None, and the first one's record stays."""
    first = kept.create(a_record())
    (second,) = kept.documents.swap([Swap(a_record(target="g2"), first)])
    (late,) = kept.documents.swap([Swap(a_record(target="g3"), first)])
    assert second is not None
    assert late is None
    assert kept.documents.get(["k1"])["k1"].record.target == "g2"


def test_creating_what_exists_changes_nothing(kept: Kept) -> None:
    """A create finds somebody else's record and gets None."""
    kept.create(a_record())
    assert kept.documents.swap([Swap(a_record(target="g2"), None)]) == [None]
    assert kept.documents.get(["k1"])["k1"].record.target == "g1"


def test_swaps_of_a_batch_stand_alone(kept: Kept) -> None:
    """A conflict in the middle of a batch does not touch its neighbours, and results come in order."""
    kept.create(a_record("k2"))
    results = kept.documents.swap([Swap(a_record(key), None) for key in ("k1", "k2", "k3")])
    assert [result is not None for result in results] == [True, False, True]
    assert sorted(kept.documents.get(["k1", "k2", "k3"])) == ["k1", "k2", "k3"]


def test_of_many_writers_one_wins(kept: Kept) -> None:
    """Eight threads that swap on the same view: exactly one succeeds, and its record is the one stored."""
    seen = kept.create(a_record())

    def write(number: int) -> Seen | None:
        (result,) = kept.documents.swap([Swap(a_record(target=f"w{number}"), seen)])
        return result

    with ThreadPoolExecutor(8) as pool:
        winners = [result for result in pool.map(write, range(8)) if result is not None]
    assert len(winners) == 1
    assert kept.documents.get(["k1"])["k1"] == winners[0]


def test_removal_needs_the_latest_view(kept: Kept) -> None:
    """A record that was changed since it was seen is not removed; one that was not, is."""
    old = kept.create(a_record())
    (new,) = kept.documents.swap([Swap(a_record(target="g2"), old)])
    assert new is not None
    assert kept.documents.remove([old]) == 0
    assert kept.documents.remove([new]) == 1
    assert kept.documents.get(["k1"]) == {}


def test_lost_documents_are_those_in_no_queue(kept: Kept) -> None:
    """Expired leases and let-go documents whose time has come are lost; queued, leased and done ones are not."""
    kept.create(a_record("expired", lease_owner="x", lease_until=NOW - 1))
    kept.create(a_record("let-go", enqueued_at=0.0, not_before=NOW - 1, accepted_at=NOW - 5))
    kept.create(a_record("future", enqueued_at=0.0, not_before=NOW + 1))
    kept.create(a_record("leased", lease_owner="x", lease_until=NOW + 1, enqueued_at=0.0))
    kept.create(a_record("queued"))
    kept.create(a_record("done", state=DocumentState.INDEXED, enqueued_at=0.0))
    kept.settle()
    assert [seen.record.key for seen in kept.documents.lost(now=NOW, limit=10)] == ["let-go", "expired"]


def test_waiting_documents_are_those_nobody_works_on(kept: Kept) -> None:
    """Waiting ones are listed oldest first by when they were last enqueued, and counted whenever that was."""
    kept.create(a_record("old", enqueued_at=NOW - 100, accepted_at=NOW - 100))
    kept.create(a_record("older", enqueued_at=NOW - 90, accepted_at=NOW - 200))
    kept.create(a_record("young", enqueued_at=NOW))
    kept.create(a_record("leased", lease_until=NOW + 9, enqueued_at=NOW - 100))
    kept.create(a_record("failed", state=DocumentState.FAILED, enqueued_at=NOW - 100))
    kept.settle()
    waiting = kept.documents.waiting(now=NOW, enqueued_before=NOW - 50, limit=10)
    assert [seen.record.key for seen in waiting] == ["older", "old"]
    assert kept.documents.count_waiting(now=NOW) == 3


def test_a_listed_view_is_good_for_a_swap(kept: Kept) -> None:
    """What a listing returns can be swapped on, once."""
    kept.create(a_record(enqueued_at=0.0))
    kept.settle()
    (seen,) = kept.documents.lost(now=NOW, limit=10)
    assert kept.documents.swap([Swap(a_record(enqueued_at=NOW), seen)]) != [None]
    assert kept.documents.swap([Swap(a_record(enqueued_at=NOW), seen)]) == [None]


def test_listings_page_by_document_id(kept: Kept) -> None:
    """Records of one collection come in order of id, from behind a given one, of one state if wanted."""
    for number in range(5):
        state = DocumentState.FAILED if number == 3 else DocumentState.INDEXED
        kept.create(a_record(f"k{number}", document_id=f"d{number}", state=state))
    kept.create(a_record("other", collection="other"))
    kept.settle()

    def ids(state: str | None, after: str | None, limit: int) -> list[str]:
        return [
            record.document_id for record in kept.documents.listed("default", state=state, after=after, limit=limit)
        ]

    assert ids(None, None, 2) == ["d0", "d1"]
    assert ids(None, "d1", 10) == ["d2", "d3", "d4"]
    assert ids("failed", None, 10) == ["d3"]


def test_tombstones_are_found_by_age(kept: Kept) -> None:
    """Only records of documents deleted before a moment are tombstones of age."""
    kept.create(a_record("old", state=DocumentState.DELETED, updated_at=NOW - 100))
    kept.create(a_record("young", state=DocumentState.DELETED, updated_at=NOW))
    kept.create(a_record("alive", state=DocumentState.INDEXED, updated_at=NOW - 100))
    kept.settle()
    assert [seen.record.key for seen in kept.documents.tombstones(before=NOW - 50, limit=10)] == ["old"]


def test_documents_are_counted_by_state(kept: Kept) -> None:
    """Those of one collection; before the first document there are none."""
    assert kept.documents.counts("default") == {}
    for number, state in enumerate(["received", "received", "failed", "indexed"]):
        kept.create(a_record(f"k{number}", state=state))
    kept.create(a_record("other", collection="secrets"))
    kept.settle()
    assert kept.documents.counts("default") == {
        DocumentState.RECEIVED: 2,
        DocumentState.FAILED: 1,
        DocumentState.INDEXED: 1,
    }
    assert kept.documents.counts("nowhere") == {}


def test_leased_documents_are_seen_at_once(kept: Kept) -> None:
    """Of one collection, received ones with a lease, run out or not; no wait for a listing to become current."""
    kept.create(a_record("k1", lease_owner="me", lease_until=NOW - 9.0))
    kept.create(a_record("k2", lease_owner="me", lease_until=NOW + 9.0, collection="other"))
    kept.create(a_record("k3"))
    kept.create(a_record("k4", state=DocumentState.INDEXED))
    assert [record.key for record in kept.documents.leased("default", limit=10)] == ["k1"]


def test_what_an_index_lacks_is_seen_at_once(kept: Kept) -> None:
    """Of one collection, whatever is not committed there and not deleted, by document id, page by page."""
    one, two = (WriteSet(write_set="g.1", chunks=1) for _ in range(2))
    kept.create(a_record("k1", committed={"index-1": one}))
    kept.create(a_record("k2", committed={"index-1": one, "index-2": two}))
    kept.create(a_record("k3", state=DocumentState.FAILED))
    kept.create(a_record("k4", state=DocumentState.DELETED))
    kept.create(a_record("k5", committed={"index-1": one}, collection="other"))
    kept.create(a_record("k6", committed={"index-1": one}))
    lacking = kept.documents.lacking("default", "index-2", after=None, limit=2)
    assert [record.key for record in lacking] == ["k1", "k3"]
    more = kept.documents.lacking("default", "index-2", after=lacking[-1].document_id, limit=2)
    assert [record.key for record in more] == ["k6"]
    kept.settle()
    counts = [kept.documents.count_committed("default", f"index-{number}") for number in (1, 2, 3)]
    assert counts == [3, 1, 0]
