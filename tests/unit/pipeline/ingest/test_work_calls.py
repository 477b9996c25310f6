"""What an index worker asks Elasticsearch for a message: once for all of its documents, not once for each."""

from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.schemas.document import DocumentRef, DocumentState
from second_opinion.testing.chunking import ParagraphChunker
from second_opinion.testing.ingest import Failing, IngestRig, memory_stores
from second_opinion.testing.models import DIMS, WordEmbedder

FINGERPRINT = IndexFingerprint(embedding_model="word-embedder", embedding_revision="1", dims=DIMS, chunker="by hand")
NEVER = 10**9


def test_a_collection_is_looked_at_once_a_message() -> None:
    """Twenty documents of two collections are two looks, and their metadata fields are registered once."""
    rig = IngestRig.on(memory_stores(FINGERPRINT), ParagraphChunker(), WordEmbedder())
    for number in range(20):
        metadata = {"year": 2_000 + number} if number % 2 else {"year": 2_000, "lang": "en"}
        rig.put(f"d{number}", f"Document {number}.", collection=("odd", "even")[number % 2], metadata=metadata)
    refs: list[DocumentRef] = [ref for batch in rig.queue.batches for ref in batch]
    rig.queue.batches.clear()
    looks = Failing(rig.stores.collections, "get", RuntimeError("never"), at=NEVER)
    registrations = Failing(looks, "register_fields", RuntimeError("never"), at=NEVER)
    worker = rig.with_stores(collections=registrations)
    assert worker.indexing.index(refs).committed == 20
    assert (looks.calls, registrations.calls) == (2, 2)
    for name, number in (("odd", 4), ("even", 5)):
        assert rig.status(f"d{number}", name).state is DocumentState.INDEXED
        assert rig.seen_by_readers(f"d{number}", name)
    assert rig.stores.collections.field_types("odd") == {"lang": "keyword", "year": "double"}
