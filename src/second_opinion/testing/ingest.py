"""The whole of ingest on any stores, in one process: what tests of the document protocol drive."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from threading import Lock
from typing import Any

from second_opinion.pipeline.company import Company
from second_opinion.pipeline.extraction import Extractors, PlainTextExtractor
from second_opinion.pipeline.ingest import (
    Acceptance,
    Extraction,
    GroupCommitter,
    Indexing,
    Maker,
    Makers,
    Policy,
    Reconciler,
    Reindexer,
    Remade,
    Remaking,
    Stores,
    Sweeper,
    WorkReport,
    document_status,
)
from second_opinion.pipeline.ports import Chunker, Embedder
from second_opinion.schemas.chunk import ChunkHit, chunk_id
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint
from second_opinion.schemas.document import DocumentStatus, Receipt, document_key
from second_opinion.testing.chunks import MemoryChunks
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.collections import MemoryCollections
from second_opinion.testing.documents import MemoryContents, MemoryDocuments
from second_opinion.testing.queue import MemoryQueue


class CountingIds:
    """`OperationIds` that sort by age and are easy to read: g000001, g000002, ..."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._lock = Lock()

    def new(self) -> str:
        """Return the next id."""
        with self._lock:
            return f"g{next(self._numbers):06d}"


def memory_stores(fingerprint: IndexFingerprint, *, clock: ManualClock | None = None) -> Stores:
    """Return stores that live in this process."""
    return Stores(
        documents=MemoryDocuments(),
        contents=MemoryContents(),
        chunks=MemoryChunks(),
        collections=MemoryCollections(fingerprint),
        queue=MemoryQueue(),
        clock=clock or ManualClock(),
        ids=CountingIds(),
    )


@dataclass(frozen=True)
class IngestRig:
    """Ingest, put together; `stores.queue` has to be a `MemoryQueue`."""

    stores: Stores
    policy: Policy
    chunker: Chunker
    embedder: Embedder
    committer: GroupCommitter
    acceptance: Acceptance
    extraction: Extraction
    indexing: Indexing
    reconciler: Reconciler
    sweeper: Sweeper
    remaking: Remaking
    reindexer: Reindexer

    @classmethod
    def on(
        cls,
        stores: Stores,
        chunker: Chunker,
        embedder: Embedder,
        policy: Policy | None = None,
        former: Mapping[IndexFingerprint, Maker] | None = None,
    ) -> "IngestRig":
        """Put ingest together on these stores; `former` is what indices were made with before."""
        policy = policy or Policy()
        committer, company = GroupCommitter(stores, policy), Company()
        own = {stores.collections.fingerprint(): Maker(chunker, embedder)}
        makers = Makers(stores.collections, {**(former or {}), **own})
        return cls(
            stores=stores,
            policy=policy,
            chunker=chunker,
            embedder=embedder,
            committer=committer,
            acceptance=Acceptance(stores, policy),
            extraction=Extraction(stores, policy, Extractors([PlainTextExtractor()])),
            indexing=Indexing(stores, policy, chunker, embedder, committer, makers=makers, company=company),
            reconciler=Reconciler(stores, policy),
            sweeper=Sweeper(stores, policy),
            remaking=Remaking(stores, policy, makers, company),
            reindexer=Reindexer(stores, policy),
        )

    def with_stores(self, **changes: Any) -> "IngestRig":
        """Return another worker on the same data, some of whose stores are others (such as failing ones)."""
        return IngestRig.on(replace(self.stores, **changes), self.chunker, self.embedder, self.policy)

    @property
    def queue(self) -> MemoryQueue:
        """The queue, to look into."""
        queue = self.stores.queue
        if not isinstance(queue, MemoryQueue):
            raise TypeError("this rig works off a MemoryQueue")
        return queue

    def put(self, document_id: str, text: str, **fields: Any) -> Receipt:
        """Accept one document."""
        (receipt,) = self.acceptance.accept([{"id": document_id, "text": text, **fields}])
        return receipt

    def delete(self, document_id: str, **fields: Any) -> Receipt:
        """Delete one document."""
        (receipt,) = self.acceptance.delete([{"id": document_id, **fields}])
        return receipt

    def drain(self) -> list[WorkReport]:
        """Work off everything that is queued, and return a report for each message of the index queue."""
        reports: list[WorkReport] = []
        while self.queue.extractions or self.queue.batches:
            while self.queue.extractions:
                self.extraction.extract(self.queue.extractions.popleft())
            while self.queue.batches:
                reports.append(self.indexing.index(self.queue.batches.popleft()))
        return reports

    def remake(self) -> list[Remade]:
        """Work off what a reindex has sent, and return a report for each message."""
        reports: list[Remade] = []
        while self.queue.remakes:
            reports.append(self.remaking.remake(*self.queue.remakes.popleft()))
        return reports

    def status(self, document_id: str, collection: str = DEFAULT_COLLECTION) -> DocumentStatus:
        """Return the status of a document."""
        return document_status(self.stores.documents, collection, document_id)

    def seen_by_readers(self, document_id: str, collection: str = DEFAULT_COLLECTION) -> list[ChunkHit]:
        """Return the committed chunks of a document, in order: what the read protocol lets through."""
        key = document_key(collection, document_id)
        seen = self.stores.documents.get([key]).get(key)
        index = self.stores.collections.get(collection).index
        committed = None if seen is None else seen.record.committed.get(index)
        if committed is None:
            return []
        ids = [chunk_id(key, committed.write_set, ordinal) for ordinal in range(committed.chunks)]
        found = self.stores.chunks.get(index, ids)
        return [found[one] for one in ids]

    def stored_sets(self, collection: str = DEFAULT_COLLECTION) -> list[str]:
        """Return every write set in the index as `key@set`, committed or not."""
        index = self.stores.collections.get(collection).index
        sets = self.stores.chunks.write_sets(index, before=1e12, limit=10_000)
        return [f"{one.key}@{one.write_set}" for one in sets]

    def committed_sets(self, document_ids: Sequence[str], collection: str = DEFAULT_COLLECTION) -> list[str]:
        """Return the committed write sets of documents as `key@set`, sorted as `stored_sets` is."""
        keys = [document_key(collection, one) for one in document_ids]
        records = [seen.record for seen in self.stores.documents.get(keys).values()]
        return sorted(f"{record.key}@{one.write_set}" for record in records for one in record.committed.values())


class Failing:
    """A port whose named method fails at its `at`-th call, before or after it has done its work.

    Everything else is passed on: a crash between two steps, at exactly the place that a test wants.
    """

    def __init__(self, port: Any, method: str, problem: BaseException, *, at: int = 1, after: bool = False) -> None:
        self._port = port
        self._method = method
        self._problem = problem
        self._at = at
        self._after = after
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        reached = getattr(self._port, name)
        return self._tripwire(reached) if name == self._method else reached

    def _tripwire(self, reached: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._at and not self._after:
                raise self._problem
            answer = reached(*args, **kwargs)
            if self.calls == self._at:
                raise self._problem
            return answer

        return call
