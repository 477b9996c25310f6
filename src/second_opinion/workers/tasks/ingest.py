"""Ingest behind the intake: bytes to text, text to committed chunks, and the rescue of what got stuck."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from second_opinion.pipeline.ingest.loads import end_overdue_loads
from second_opinion.pipeline.ports import Guard
from second_opinion.schemas.base import Versioned
from second_opinion.schemas.errors import DeadlineExceeded, WorkerStopping
from second_opinion.schemas.messages import ExtractDocument, IndexDocuments, RemakeDocuments
from second_opinion.workers.parts import ExtractParts, IndexParts, MaintenanceParts
from second_opinion.workers.runner import Facts

DAY = 86_400.0


class Tick(Versioned):
    """A periodic task's argument: nothing."""


def extract_document(message: ExtractDocument, parts: ExtractParts) -> Facts:
    """Turn the bytes of one operation into text and pass it on."""
    ending = parts.extraction.extract(message.document)
    return {"key": message.document.key, "ending": ending.value if ending else "not ours"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a message's work may go on.

    Attributes:
        limit: Seconds.
        must_let_go: Tells whether the worker stops soon.
    """

    limit: float
    must_let_go: Callable[[], bool] = lambda: False

    def guard(self) -> Guard:
        """Return a guard that ends work which begins now when it is to end."""
        until = time.monotonic() + self.limit

        def check() -> None:
            if time.monotonic() > until:
                raise DeadlineExceeded(f"the work was not done within {self.limit:g} seconds")
            if self.must_let_go():
                raise WorkerStopping("the worker was asked to stop before the work was done")

        return check


def index_documents(message: IndexDocuments, parts: IndexParts, *, patience: Patience) -> Facts:
    """Bring operations to their commit; what is not done in time is let go and comes again."""
    return asdict(parts.indexing.index(message.documents, patience.guard()))


def remake_documents(message: RemakeDocuments, parts: IndexParts, *, patience: Patience) -> Facts:
    """Make documents in the index that their collection moves to; what is not done in time comes again."""
    remade = parts.remaking.remake(message.collection, message.index, message.keys, patience.guard())
    return {"collection": message.collection, **asdict(remade)}


def reconcile(_: Tick, parts: MaintenanceParts) -> Facts:
    """Send again what nobody works on: messages, queries, documents; end overdue queries; bring reindexes on."""
    facts = {f"messages_{name}": count for name, count in asdict(parts.hands.give_back()).items()}
    facts |= {f"queries_{name}": count for name, count in asdict(parts.rescue.rescue()).items()}
    facts |= {f"reindex_{name}": count for name, count in asdict(parts.reindexer.advance()).items()}
    return {**facts, **{f"documents_{name}": count for name, count in asdict(parts.reconciler.reconcile()).items()}}


def sweep(_: Tick, parts: MaintenanceParts) -> Facts:
    """Remove what nothing points to, old tombstones and old traces; mend torn documents; end loads left behind."""
    swept = asdict(parts.sweeper.sweep()) if parts.sweeper.due else {}
    loads = end_overdue_loads(parts.collections, now=parts.clock.now())
    return {
        **swept,
        "bulk_loads": loads,
        "trace_indices": parts.traces.drop(before=parts.clock.now() - parts.trace_days * DAY),
    }
