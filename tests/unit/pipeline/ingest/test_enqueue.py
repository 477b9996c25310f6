"""In which order operations are sent, and which share a message."""

from second_opinion.pipeline.ingest.enqueue import enqueue
from second_opinion.pipeline.ingest.stores import Policy
from second_opinion.schemas.document import DocumentRecord, DocumentState
from second_opinion.testing.queue import MemoryQueue

NOW = 1_700_000_000.0


def a_record(key: str, **fields: object) -> DocumentRecord:
    known = {"collection": "default", "document_id": key, "content_hash": "h", "target": "g"}
    told = {"accepted_at": NOW, "updated_at": NOW, "state": DocumentState.RECEIVED}
    return DocumentRecord.model_validate({"key": key, **known, **told, **fields})


def keys(queue: MemoryQueue) -> list[list[str]]:
    return [[ref.key for ref in message] for message in queue.batches]


def test_what_was_begun_goes_before_what_waits() -> None:
    """To the front, the oldest first; what was never begun goes to the end, as it always does."""
    queue, policy = MemoryQueue(), Policy(message_documents=2)
    enqueue(queue, [a_record("waits-1"), a_record("waits-2")], policy)
    lost = [a_record("lost-1", attempts=1, losses=1), a_record("lost-2", attempts=1, losses=1)]
    enqueue(queue, [*lost, a_record("new")], policy)
    assert keys(queue) == [["lost-1"], ["lost-2"], ["waits-1", "waits-2"], ["new"]]


def test_what_was_let_go_shares_messages_and_goes_to_the_front() -> None:
    """No worker was lost with these, so they are no suspects; bytes to extract have a front as well."""
    queue, policy = MemoryQueue(), Policy(message_documents=8)
    waiting = [a_record("bytes-waits", needs_extraction=True), a_record("waits")]
    begun = [a_record("a", attempts=2), a_record("b", attempts=1), a_record("bytes", attempts=1, needs_extraction=True)]
    enqueue(queue, waiting, policy)
    enqueue(queue, begun, policy)
    assert [set(message) for message in keys(queue)] == [{"a", "b"}, {"waits"}]
    assert [ref.key for ref in queue.extractions] == ["bytes", "bytes-waits"]
