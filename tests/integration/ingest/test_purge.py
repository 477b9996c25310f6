"""Giving failed documents up, on both kinds of stores."""

from second_opinion.pipeline.ingest.purge import purge_failed
from second_opinion.schemas.document import AcceptOutcome, DocumentState

from .conftest import Bench


def test_a_failed_document_that_nobody_sees_goes(bench: Bench) -> None:
    """It is deleted with what was sent for it; who is not known is told so; sending again begins anew."""
    bench.rig.acceptance.accept([{"id": "bad", "content": "wyg=", "media_type": "text/plain"}])
    bench.rig.drain()
    assert bench.rig.status("bad").state is DocumentState.FAILED
    gone, unknown = purge_failed(bench.rig.stores, "default", ["bad", "nobody"])
    assert (gone.outcome, unknown.outcome) == (AcceptOutcome.DELETED, AcceptOutcome.REJECTED)
    assert bench.rig.status("bad").state is DocumentState.DELETED
    bench.settle()
    assert bench.rig.stores.contents.older_than(1e12, limit=9) == []
    bench.rig.put("bad", "Good now.")
    bench.rig.drain()
    assert len(bench.rig.seen_by_readers("bad")) == 1


def test_what_queries_see_stays(bench: Bench) -> None:
    """A document with an older version is current again with that one, and purging twice changes nothing."""
    bench.rig.put("d1", "The old text.")
    bench.rig.drain()
    bench.rig.acceptance.accept([{"id": "d1", "content": "wyg=", "media_type": "text/plain"}])
    bench.rig.drain()
    assert bench.rig.status("d1").state is DocumentState.FAILED
    for _ in range(2):
        (kept,) = purge_failed(bench.rig.stores, "default", ["d1"])
        assert kept.outcome is AcceptOutcome.UNCHANGED
        status = bench.rig.status("d1")
        assert (status.state, status.current, status.error) == (DocumentState.INDEXED, True, None)
    assert [hit.text for hit in bench.rig.seen_by_readers("d1")] == ["The old text."]
    bench.settle()
    assert len(bench.rig.stores.contents.older_than(1e12, limit=9)) == 1
