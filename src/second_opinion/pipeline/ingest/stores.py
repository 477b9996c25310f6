"""What all steps of ingest share: the stores, the queue, the clock, and how patient work is."""

from dataclasses import dataclass

from second_opinion.pipeline.ports import (
    ChunkIndex,
    Clock,
    CollectionStore,
    ContentStore,
    DocumentStore,
    OperationIds,
    TaskQueue,
)


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything outside that ingest talks to."""

    documents: DocumentStore
    contents: ContentStore
    chunks: ChunkIndex
    collections: CollectionStore
    queue: TaskQueue
    clock: Clock
    ids: OperationIds


@dataclass(frozen=True, slots=True)
class Policy:
    """How work is begun, repeated, grouped and cleaned up after.

    Attributes:
        lease_seconds: How long a worker may be silent about a document before another takes over.
        max_attempts: How often work on an operation may fail, or end a worker that does nothing else, before it is
            recorded as failed. That a server is away is no failure of the operation.
        backoff_seconds: Longest wait after the first failed attempt, and half of it the shortest; three times as long
            after each further one.
        longest_backoff_seconds: What the wait grows to at the most.
        outage_seconds: Age of an operation up to which a server that is away does not count against it.
        commit_documents: Documents that are committed together at the most.
        commit_seconds: How long the first of them waits for the others.
        slice_chunks: Chunks that are embedded and written at once.
        group_bytes: Bytes of documents that a worker holds at once; a larger document is held alone.
        message_documents: Documents in one message at the most.
        grace_seconds: Age below which the sweeper leaves chunks and contents alone.
        tombstone_seconds: Age at which the record of a deleted document goes; above the age of any message.
        reuse_embeddings: Look for the vector of a text that the index holds already before it is computed.
        patience_seconds: After this, a waiting document is enqueued again however long the queue is.
    """

    lease_seconds: float = 30.0
    max_attempts: int = 3
    backoff_seconds: float = 5.0
    longest_backoff_seconds: float = 60.0
    outage_seconds: float = 86_400.0
    commit_documents: int = 32
    commit_seconds: float = 0.5
    slice_chunks: int = 64
    group_bytes: int = 8 * 1024 * 1024
    message_documents: int = 32
    grace_seconds: float = 600.0
    tombstone_seconds: float = 7 * 86_400.0
    patience_seconds: float = 600.0
    reuse_embeddings: bool = True
