"""A queue in memory."""

from collections import deque
from collections.abc import Sequence, Sized
from itertools import takewhile
from typing import TypeVar

from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.usage import RerankerUsage

ItemT = TypeVar("ItemT")


class MemoryQueue:
    """A `TaskQueue` that keeps what was sent, for tests to look at and to work off."""

    def __init__(self) -> None:
        self.extractions: deque[DocumentRef] = deque()
        self.batches: deque[tuple[DocumentRef, ...]] = deque()
        self.remakes: deque[tuple[str, str, tuple[str, ...]]] = deque()
        self.retrievals: deque[str] = deque()
        self.reranks: deque[str] = deque()
        self.delays: deque[tuple[int, float]] = deque()
        self.spent: deque[tuple[RerankerUsage, ...]] = deque()
        self._rescued: list[object] = []

    def extract(self, document: DocumentRef, *, front: bool = False) -> None:
        """Ask for the text of an operation's bytes."""
        self._put(self.extractions, document, front=front)

    def index(self, documents: Sequence[DocumentRef], *, front: bool = False) -> None:
        """Ask for operations to be chunked, embedded and committed."""
        self._put(self.batches, tuple(documents), front=front)

    def remake(self, collection: str, index: str, keys: Sequence[str]) -> None:
        """Ask for documents of a collection, by key, to be made in another of its indices."""
        self.remakes.append((collection, index, tuple(keys)))

    def retrieve(self, job_id: str, *, front: bool = False) -> None:
        """Ask for a job's candidates."""
        self._put(self.retrievals, job_id, front=front)

    def rerank(
        self,
        job_id: str,
        *,
        waits: int = 0,
        delay: float = 0.0,
        usage: Sequence[RerankerUsage] = (),
        front: bool = False,
    ) -> None:
        """Ask for a job's candidates to be scored and judged.

        How long it would wait is kept in `delays`, and what it has cost in `spent`.
        """
        self._put(self.reranks, job_id, front=front)
        self.delays.append((waits, delay))
        self.spent.append(tuple(usage))

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        if queue == "index":
            return len(self.batches) + len(self.remakes)
        queues: dict[str, Sized] = {
            "extract": self.extractions,
            "retrieve": self.retrievals,
            "rerank": self.reranks,
        }
        return len(queues[queue])

    def _put(self, queue: deque[ItemT], item: ItemT, *, front: bool) -> None:
        if not front:
            queue.append(item)
            return
        before = sum(1 for _ in takewhile(lambda one: one in self._rescued, queue))
        queue.insert(before, item)
        self._rescued.append(item)
