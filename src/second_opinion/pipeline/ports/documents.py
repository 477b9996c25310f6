"""Records and contents of documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from second_opinion.schemas.document import ContentRecord, DocumentRecord, DocumentRef, DocumentState, ExtractedText


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it was read, with the two numbers that a compare-and-set needs."""

    record: DocumentRecord
    seq_no: int
    primary_term: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Write `record` if the stored one is still as `seen`; create it, if `seen` is None and there is none."""

    record: DocumentRecord
    seen: Seen | None


class DocumentStore(Protocol):
    """The records of documents: created or compared-and-set, never blindly written. Reads are realtime."""

    def get(self, keys: Sequence[str]) -> dict[str, Seen]:
        """Return what is stored under `keys`; missing ones are left out."""

    def swap(self, swaps: Sequence[Swap]) -> list[Seen | None]:
        """Apply each swap on its own; return what is now stored, or None where somebody else was first."""

    def remove(self, seen: Sequence[Seen]) -> int:
        """Remove records that are still as they were seen; return how many were."""

    def lost(self, *, now: float, limit: int) -> list[Seen]:
        """Return received documents that are in no queue: lease expired, or let go and `not_before` has come."""

    def waiting(self, *, now: float, enqueued_before: float, limit: int) -> list[Seen]:
        """Return received documents that nobody works on and that were last enqueued before a moment, oldest first."""

    def count_waiting(self, *, now: float) -> int:
        """Return how many received documents nobody works on, with `not_before` come."""

    def tombstones(self, *, before: float, limit: int) -> list[Seen]:
        """Return records of documents deleted before a moment, oldest first."""

    def listed(self, collection: str, *, state: str | None, after: str | None, limit: int) -> list[DocumentRecord]:
        """Return records of a collection by document id, those behind `after`."""

    def counts(self, collection: str) -> dict[DocumentState, int]:
        """Return how many records of a collection are in each state; states of none are left out."""

    def leased(self, collection: str, *, limit: int) -> list[DocumentRecord]:
        """Return records of a collection with a lease on them, run out or not; all written before are seen."""

    def lacking(self, collection: str, index: str, *, after: str | None, limit: int) -> list[DocumentRecord]:
        """Return records of a collection with nothing committed in `index`, by document id, those behind `after`.

        Those with nothing committed anywhere are among them, deleted ones are not. All that was written before the
        first page was asked for is seen.
        """

    def count_committed(self, collection: str, index: str) -> int:
        """Return how many documents of a collection have something committed in `index`."""


class ContentStore(Protocol):
    """What was sent, written once for each operation."""

    def create(self, contents: Sequence[ContentRecord]) -> None:
        """Write each under `K@g`; one that exists already stays as it is."""

    def get(self, refs: Sequence[DocumentRef]) -> dict[DocumentRef, ContentRecord]:
        """Return what is stored for these operations; missing ones are left out."""

    def create_text(self, text: ExtractedText) -> None:
        """Write extracted text under `K@g@text`; one that exists already stays as it is."""

    def get_texts(self, refs: Sequence[DocumentRef]) -> dict[DocumentRef, ExtractedText]:
        """Return extracted texts; missing ones are left out."""

    def delete(self, refs: Sequence[DocumentRef]) -> None:
        """Remove contents and extracted texts of these operations; missing ones are no error."""

    def older_than(self, moment: float, *, limit: int, after: str | None = None) -> list[tuple[str, DocumentRef]]:
        """Return (storage id, operation) of contents written before `moment`, by storage id, those behind `after`."""
