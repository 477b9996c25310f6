"""Watching documents until they are searchable, without asking for all of them each time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from second_opinion.schemas.document import AcceptOutcome, DocumentState, DocumentStatus, Receipt

WINDOW: Final = 500
FEW: Final = 32
"""So many are asked for to begin with: asking takes time from the very work that is waited for."""
MORE: Final = 1.5
"""So many times as many while none settles: it may be the oldest alone that do not."""

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

    The queue keeps their order, so the oldest are looked at every time; and because some take longer than those behind
    them, others are looked at in turn. How many is by how many had settled the last time: asking is not for nothing.

    Args:
        statuses: Reads the statuses of documents; those unknown are left out.
        window: How many documents are asked for at a time at the most.
    """

    def __init__(
        self, statuses: Callable[[Sequence[DocumentName]], dict[DocumentName, DocumentStatus]], *, window: int = WINDOW
    ) -> None:
        self._statuses = statuses
        self._window = window
        self._pending: list[Receipt] = []
        self._size = min(FEW, window)
        self._turn = 0
        self.hurries = True

    def add(self, receipts: Iterable[Receipt]) -> None:
        """Follow those of the receipts that lead to something: accepted, or unchanged and perhaps still pending."""
        awaited = {AcceptOutcome.ACCEPTED, AcceptOutcome.UNCHANGED, AcceptOutcome.SUBMITTED}
        self._pending.extend(receipt for receipt in receipts if receipt.outcome in awaited)

    @property
    def pending(self) -> int:
        """How many documents are still under way."""
        return len(self._pending)

    def poll(self) -> list[Settled]:
        """Ask for documents under way, the oldest first; return those that have settled.

        Afterwards `hurries` tells whether so many had, all perhaps, that there is nothing to rest for.
        """
        oldest = slice(0, ceil(self._size / 2))
        start = self._turn if oldest.stop <= self._turn < len(self._pending) else oldest.stop
        others = slice(start, start + self._size - oldest.stop)
        asked = [*self._pending[oldest], *self._pending[others]]
        if not asked:
            return []
        known = self._statuses([(receipt.collection, receipt.document_id) for receipt in asked])
        settled: list[Settled] = []
        # The later part first: what is taken out of it moves nothing before it.
        for part in (others, oldest):
            settled[:0] = self._take_settled(part, known)
        self._turn = others.stop - len(settled)
        self.hurries = 2 * len(settled) >= len(asked)
        self._size = min(self._window, max(FEW, 2 * len(settled)) if settled else ceil(MORE * self._size))
        return settled

    def _take_settled(self, part: slice, known: Mapping[DocumentName, DocumentStatus]) -> list[Settled]:
        settled, left = [], []
        for receipt in self._pending[part]:
            status = known.get((receipt.collection, receipt.document_id))
            if _under_way(receipt, status):
                left.append(receipt)
            else:
                settled.append(Settled(receipt=receipt, status=status))
        self._pending[part] = left
        return settled


def _under_way(receipt: Receipt, status: DocumentStatus | None) -> bool:
    if status is None:
        # Sent by task name, it has no record before a worker has accepted it.
        return receipt.outcome is AcceptOutcome.SUBMITTED
    overtaken = receipt.target is not None and status.target != receipt.target
    return status.state is DocumentState.RECEIVED and not overtaken
