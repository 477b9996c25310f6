"""Documents whose chunks went missing, as they do when a snapshot comes back, are made whole again by themselves."""

from collections.abc import Sequence

import pytest

from second_opinion.pipeline.ingest import Policy
from second_opinion.pipeline.ports import DocumentStore, Seen
from second_opinion.schemas.chunk import chunk_id
from second_opinion.schemas.document import DocumentState, document_key
from tests.integration.ingest.conftest import Bench

TEXT = "\n\n".join(
    f"Part {number} of the leaflet says how much to take, how often, and for how long at the most, by age and weight."
    for number in range(6)
)


@pytest.fixture
def torn(bench: Bench) -> Bench:
    """Three documents of several chunks each."""
    for name in ("d1", "d2", "d3"):
        bench.rig.put(name, f"{name}: {TEXT}")
    bench.rig.drain()
    assert all(bench.rig.status(name).chunks > 2 for name in ("d1", "d2", "d3"))
    return bench


def lose(bench: Bench, document_id: str, ordinals: Sequence[int] | None = None) -> None:
    """Remove chunks of the committed version behind everybody's back; all of them unless told which."""
    key = document_key("default", document_id)
    index = bench.rig.stores.collections.get("default").index
    written = bench.rig.stores.documents.get([key])[key].record.committed[index]
    wanted = range(written.chunks) if ordinals is None else ordinals
    bench.rig.stores.chunks.delete(index, [chunk_id(key, written.write_set, ordinal) for ordinal in wanted])
    bench.rig.stores.chunks.refresh(index)


def texts(bench: Bench, document_id: str) -> str:
    """Return all that readers see of a document."""
    return " ".join(hit.text for hit in bench.rig.seen_by_readers(document_id))


@pytest.mark.parametrize("ordinals", [(1,), None], ids=["one chunk", "all chunks"])
def test_a_torn_document_is_indexed_again(torn: Bench, ordinals: tuple[int, ...] | None) -> None:
    """Nobody has to ask for it; what was whole stays as it is, and nothing is left over."""
    before = {name: torn.rig.status(name).target for name in ("d1", "d3")}
    lose(torn, "d2", ordinals)
    torn.sweep()
    assert torn.rig.status("d2").state is DocumentState.RECEIVED
    torn.rig.drain()
    assert torn.rig.status("d2").state is DocumentState.INDEXED
    assert "d2" in texts(torn, "d2")
    assert "Part 5" in texts(torn, "d2")
    assert {name: torn.rig.status(name).target for name in before} == before
    torn.sweep()
    assert torn.rig.stored_sets() == torn.rig.committed_sets(["d1", "d2", "d3"])
    assert len(torn.rig.stores.contents.older_than(1e12, limit=10)) == 3
    assert not torn.rig.queue.batches


def test_a_torn_document_of_which_nothing_is_kept_fails_visibly(torn: Bench) -> None:
    """It says what is missing and what to do."""
    lose(torn, "d2", [0])
    key = document_key("default", "d2")
    record = torn.rig.stores.documents.get([key])[key].record
    torn.rig.stores.contents.delete([record.ref])
    torn.sweep()
    status = torn.rig.status("d2")
    assert status.state is DocumentState.FAILED
    assert status.error is not None
    assert "some chunks of document 'd2' are missing" in status.error.message
    assert status.error.hint == "Send it again."
    torn.rig.put("d2", "d2: sent again")
    torn.rig.drain()
    assert texts(torn, "d2") == "d2: sent again"


def test_what_was_written_a_moment_ago_is_left_alone(torn: Bench) -> None:
    """Its chunks may be on their way to being seen."""
    lose(torn, "d2")
    torn.settle()
    assert torn.rig.sweeper.sweep().mended == 0
    assert torn.rig.status("d2").state is DocumentState.INDEXED


class Overtaken:
    """Records, with a caller who sends a new version right after they were listed."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._documents: DocumentStore = bench.rig.stores.documents
        self._has_come = False

    def get(self, keys: Sequence[str]) -> dict[str, Seen]:
        """Let the other caller come first."""
        if not self._has_come:
            self._has_come = True
            self._bench.rig.put("d2", "d2: new")
            self._bench.rig.drain()
        return self._documents.get(keys)

    def __getattr__(self, name: str) -> object:
        return getattr(self._documents, name)


def test_a_document_that_changes_meanwhile_is_left_alone(torn: Bench) -> None:
    """What was counted is then no longer what readers see."""
    lose(torn, "d2")
    torn.clock.advance(Policy().grace_seconds + 1)
    torn.settle()
    late = torn.rig.with_stores(documents=Overtaken(torn))
    assert late.sweeper.sweep().mended == 0
    assert texts(torn, "d2") == "d2: new"
