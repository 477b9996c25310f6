"""Collections under ingest: made by the first document, checked before work, and deleted with all that is theirs."""

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchChunks, IndexNames
from second_opinion.schemas.document import AcceptOutcome, DocumentState
from second_opinion.schemas.errors import UnknownCollection, UnknownDocument

from .conftest import Bench


def test_the_same_id_in_two_collections_is_two_documents(bench: Bench) -> None:
    """Collections share nothing: id, metadata types and deletion are each one's own."""
    bench.rig.put("d1", "One.", metadata={"field": 1})
    bench.rig.put("d1", "Two.", collection="other", metadata={"field": "text"})
    bench.rig.drain()
    bench.rig.delete("d1")
    assert bench.rig.seen_by_readers("d1") == []
    assert [hit.text for hit in bench.rig.seen_by_readers("d1", "other")] == ["Two."]
    assert bench.rig.stores.collections.names() == ["default", "other"]


@pytest.mark.stack
def test_deleting_a_collection_leaves_nothing_of_it(
    real_bench: Bench, elasticsearch: Connection, names: IndexNames
) -> None:
    """Chunks, records and contents are gone, others stay, and a message that comes late makes no index anew."""
    bench = real_bench
    bench.rig.put("stays", "Stays.", collection="other")
    bench.rig.put("d1", "Indexed.")
    bench.rig.drain()
    bench.rig.put("d2", "Still in the queue.")
    bench.rig.stores.collections.delete("default")
    bench.rig.drain()
    bench.settle()
    with pytest.raises(UnknownDocument):
        bench.rig.status("d1")
    with pytest.raises(UnknownCollection):
        bench.rig.seen_by_readers("d1")
    assert len(bench.rig.stores.contents.older_than(1e12, limit=10)) == 1
    assert bench.rig.status("stays", "other").state is DocumentState.INDEXED
    made = elasticsearch.reads.indices.get(index=f"{names.prefix}-chunks-*")
    assert list(made.body) == [names.chunks("other")]


@pytest.mark.stack
def test_writing_to_an_index_that_is_gone_does_not_make_one(elasticsearch: Connection, names: IndexNames) -> None:
    """Elasticsearch would guess a mapping for it; the write is refused instead."""
    chunks = ElasticsearchChunks(elasticsearch)
    chunks.delete(names.chunks("gone"), ["k@g.1@0"])
    with pytest.raises(UnknownCollection):
        chunks.refresh(names.chunks("gone"))
    assert elasticsearch.reads.indices.get(index=f"{names.prefix}-*").body == {}


def test_a_worker_of_another_pipeline_fails_documents_with_what_to_do(bench: Bench) -> None:
    """Work by a process whose model or chunker differs is not mixed into the index; the document says why."""
    bench.rig.put("d1", "Text.")
    other = bench.rig.stores.collections.fingerprint().model_copy(update={"chunker": "another"})
    stranger = bench.rig.with_stores(collections=bench.collections_of(other))
    receipt = stranger.put("d2", "Text.")
    assert receipt.outcome is AcceptOutcome.REJECTED
    assert receipt.error is not None
    assert receipt.error.code == "index_mismatch"
    stranger.indexing.index(bench.rig.queue.batches.popleft())
    status = bench.rig.status("d1")
    assert status.error is not None
    assert (status.state, status.error.code, status.error.hint != "") == (DocumentState.FAILED, "index_mismatch", True)
