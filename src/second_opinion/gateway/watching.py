"""Watching documents until they are searchable, without asking for all of them each time."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from second_opinion.schemas.document import AcceptOutcome, DocumentState, DocumentStatus, Receipt

WINDOW: Final = 500

DocumentName = tuple[str, str]
"""Collection and document id."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A document about which nothing more will happen by itself, as far as the watched operation goes.

    Attributes:
        status: As it is now; None when there is no record of it any more.
    """

    receipt: Receipt
    status: DocumentStatus | None

    @property
    def searchable(self) -> bool:
        """True when readers see the version that was sent, or a newer one that replaced it."""
        return self.status is not None and self.status.state is not DocumentState.FAILED


class DocumentWatch:
    """Follows accepted documents until each is indexed, failed, or overtaken by a newer version.

    Args:
        statuses: Reads the statuses of documents; those unknown are left out.
        window: How many documents are asked for at a time. The queue keeps their order, so the oldest settle first.
    """

    def __init__(
        self, statuses: Callable[[Sequence[DocumentName]], dict[DocumentName, DocumentStatus]], *, window: int = WINDOW
    ) -> None:
        self._statuses = statuses
        self._window = window
        self._pending: deque[Receipt] = deque()

    def add(self, receipts: Iterable[Receipt]) -> None:
        """Follow those of the receipts that lead to something: accepted, or unchanged and perhaps still pending."""
        awaited = {AcceptOutcome.ACCEPTED, AcceptOutcome.UNCHANGED, AcceptOutcome.SUBMITTED}
        self._pending.extend(receipt for receipt in receipts if receipt.outcome in awaited)

    @property
    def pending(self) -> int:
        """How many documents are still under way."""
        return len(self._pending)

    def poll(self) -> list[Settled]:
        """Ask for the oldest documents under way; return those that have settled."""
        asked = [self._pending.popleft() for _ in range(min(self._window, len(self._pending)))]
        if not asked:
            return []
        known = self._statuses([(receipt.collection, receipt.document_id) for receipt in asked])
        settled: list[Settled] = []
        for receipt in asked:
            status = known.get((receipt.collection, receipt.document_id))
            if _under_way(receipt, status):
                self._pending.append(receipt)
            else:
                settled.append(Settled(receipt=receipt, status=status))
        return settled


def _under_way(receipt: Receipt, status: DocumentStatus | None) -> bool:
    if status is None:
        # Sent by task name, it has no record before a worker has accepted it.
        return receipt.outcome is AcceptOutcome.SUBMITTED
    overtaken = receipt.target is not None and status.target != receipt.target
    return status.state is DocumentState.RECEIVED and not overtaken
