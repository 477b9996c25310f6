"""A queue in memory."""

from collections import deque
from collections.abc import Sequence, Sized

from second_opinion.schemas.document import DocumentRef


class MemoryQueue:
    """A `TaskQueue` that keeps what was sent, for tests to look at and to work off."""

    def __init__(self) -> None:
        self.extractions: deque[DocumentRef] = deque()
        self.batches: deque[tuple[DocumentRef, ...]] = deque()
        self.retrievals: deque[str] = deque()
        self.reranks: deque[str] = deque()
        self.delays: deque[tuple[int, float]] = deque()

    def extract(self, document: DocumentRef) -> None:
        """Ask for the text of an operation's bytes."""
        self.extractions.append(document)

    def index(self, documents: Sequence[DocumentRef]) -> None:
        """Ask for operations to be chunked, embedded and committed."""
        self.batches.append(tuple(documents))

    def retrieve(self, job_id: str) -> None:
        """Ask for a job's candidates."""
        self.retrievals.append(job_id)

    def rerank(self, job_id: str, *, waits: int = 0, delay: float = 0.0) -> None:
        """Ask for a job's candidates to be scored and judged; how long it would wait is kept in `delays`."""
        self.reranks.append(job_id)
        self.delays.append((waits, delay))

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        queues: dict[str, Sized] = {
            "extract": self.extractions,
            "index": self.batches,
            "retrieve": self.retrievals,
            "rerank": self.reranks,
        }
        return len(queues[queue])
