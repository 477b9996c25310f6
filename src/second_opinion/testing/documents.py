"""Documents and contents in memory, with the compare-and-set of the real store."""

from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock

from second_opinion.pipeline.ports import Clock, Seen, Swap
from second_opinion.schemas.document import ContentRecord, DocumentRecord, DocumentRef, DocumentState, ExtractedText


class MemoryDocuments:
    """A `DocumentStore` in this process.

    Args:
        clock: Tells when listings become current.
        lag: Seconds by which listings may be behind; with 0 they are current at once. The real ones lag by a second.
    """

    def __init__(self, *, clock: Clock | None = None, lag: float = 0.0) -> None:
        self._clock = clock
        self._lag = lag
        self._listed_at = 0.0
        self._listed: dict[str, Seen] = {}
        self._lock = Lock()
        self._seq_no = 0
        self._stored: dict[str, Seen] = {}

    def get(self, keys: Sequence[str]) -> dict[str, Seen]:
        """Return what is stored under `keys`; missing ones are left out."""
        with self._lock:
            return {key: self._stored[key] for key in keys if key in self._stored}

    def swap(self, swaps: Sequence[Swap]) -> list[Seen | None]:
        """Apply each swap on its own; return what is now stored, or None where somebody else was first."""
        with self._lock:
            return [self._swap(swap) for swap in swaps]

    def remove(self, seen: Sequence[Seen]) -> int:
        """Remove records that are still as they were seen; return how many were."""
        with self._lock:
            same = [one.record.key for one in seen if self._is_current(one)]
            for key in same:
                del self._stored[key]
            return len(same)

    def lost(self, *, now: float, limit: int) -> list[Seen]:
        """Return received documents that are in no queue: lease expired, or let go and `not_before` has come."""

        def is_lost(record: DocumentRecord) -> bool:
            expired = 0.0 < record.lease_until <= now
            return _received(record) and (expired or (_waits(record, now) and record.enqueued_at == 0.0))

        return self._oldest(is_lost, limit)

    def waiting(self, *, now: float, enqueued_before: float, limit: int) -> list[Seen]:
        """Return received documents that nobody works on and that were last enqueued before a moment, oldest first."""
        return self._oldest(lambda record: _waits(record, now) and record.enqueued_at < enqueued_before, limit)

    def count_waiting(self, *, now: float) -> int:
        """Return how many received documents nobody works on, with `not_before` come."""
        return len(self._oldest(lambda record: _waits(record, now), None))

    def tombstones(self, *, before: float, limit: int) -> list[Seen]:
        """Return records of documents deleted before a moment, oldest first."""
        return self._oldest(lambda record: record.state is DocumentState.DELETED and record.updated_at < before, limit)

    def listed(self, collection: str, *, state: str | None, after: str | None, limit: int) -> list[DocumentRecord]:
        """Return records of a collection by document id, those behind `after`."""
        with self._lock:
            records = [seen.record for seen in self._view().values() if seen.record.collection == collection]
        chosen = [
            record
            for record in sorted(records, key=lambda record: record.document_id)
            if (state is None or record.state == state) and (after is None or record.document_id > after)
        ]
        return chosen[:limit]

    def counts(self, collection: str) -> dict[DocumentState, int]:
        """Return how many records of a collection are in each state; states of none are left out."""
        with self._lock:
            records = [seen.record for seen in self._view().values() if seen.record.collection == collection]
        return dict(Counter(record.state for record in records))

    def leased(self, collection: str, *, limit: int) -> list[DocumentRecord]:
        """Return records of a collection that somebody holds a lease of, run out or not."""
        with self._lock:
            records = [seen.record for seen in self._stored.values() if seen.record.collection == collection]
        return [record for record in records if _received(record) and record.lease_until > 0.0][:limit]

    def lacking(self, collection: str, index: str, *, after: str | None, limit: int) -> list[DocumentRecord]:
        """Return records of a collection with nothing committed in `index`, those behind `after`."""
        with self._lock:
            records = [seen.record for seen in self._stored.values() if seen.record.collection == collection]
        chosen = [
            record
            for record in sorted(records, key=lambda record: record.document_id)
            if index not in record.committed
            and record.state is not DocumentState.DELETED
            and (after is None or record.document_id > after)
        ]
        return chosen[:limit]

    def count_committed(self, collection: str, index: str) -> int:
        """Return how many documents of a collection have something committed in `index`."""
        with self._lock:
            records = [seen.record for seen in self._stored.values()]
        return sum(record.collection == collection and index in record.committed for record in records)

    def _swap(self, swap: Swap) -> Seen | None:
        key = swap.record.key
        if swap.seen is None and key in self._stored:
            return None
        if swap.seen is not None and not self._is_current(swap.seen):
            return None
        self._seq_no += 1
        self._stored[key] = Seen(swap.record, self._seq_no, 1)
        return self._stored[key]

    def _is_current(self, seen: Seen) -> bool:
        stored = self._stored.get(seen.record.key)
        return stored is not None and stored.seq_no == seen.seq_no

    def _view(self) -> dict[str, Seen]:
        """Return what listings see: all that is stored, or what was when they last became current."""
        if self._clock is None or not self._lag:
            return self._stored
        if self._clock.now() >= self._listed_at + self._lag:
            self._listed, self._listed_at = dict(self._stored), self._clock.now()
        return self._listed

    def _oldest(self, wanted: Callable[[DocumentRecord], bool], limit: int | None) -> list[Seen]:
        with self._lock:
            found = [seen for seen in self._view().values() if wanted(seen.record)]
        return sorted(found, key=lambda seen: seen.record.accepted_at)[:limit]


class MemoryContents:
    """A `ContentStore` in this process."""

    def __init__(self) -> None:
        self._contents: dict[DocumentRef, ContentRecord] = {}
        self._texts: dict[DocumentRef, ExtractedText] = {}

    def create(self, contents: Sequence[ContentRecord]) -> None:
        """Write each under its operation; one that exists already stays as it is."""
        for content in contents:
            self._contents.setdefault(content.ref, content)

    def get(self, refs: Sequence[DocumentRef]) -> dict[DocumentRef, ContentRecord]:
        """Return what is stored for these operations; missing ones are left out."""
        return {ref: self._contents[ref] for ref in refs if ref in self._contents}

    def create_text(self, text: ExtractedText) -> None:
        """Write extracted text under its operation; one that exists already stays as it is."""
        self._texts.setdefault(text.ref, text)

    def get_texts(self, refs: Sequence[DocumentRef]) -> dict[DocumentRef, ExtractedText]:
        """Return extracted texts; missing ones are left out."""
        return {ref: self._texts[ref] for ref in refs if ref in self._texts}

    def delete(self, refs: Sequence[DocumentRef]) -> None:
        """Remove contents and extracted texts of these operations; missing ones are no error."""
        for ref in refs:
            self._contents.pop(ref, None)
            self._texts.pop(ref, None)

    def older_than(self, moment: float, *, limit: int, after: str | None = None) -> list[tuple[str, DocumentRef]]:
        """Return (storage id, operation) of contents written before `moment`, by storage id, those behind `after`."""
        rows = [(f"{c.key}@{c.target}", c.ref) for c in self._contents.values() if c.written_at < moment]
        rows += [(f"{t.key}@{t.target}@text", t.ref) for t in self._texts.values() if t.written_at < moment]
        return sorted((row for row in rows if after is None or row[0] > after), key=lambda row: row[0])[:limit]


def _received(record: DocumentRecord) -> bool:
    return record.state is DocumentState.RECEIVED


def _waits(record: DocumentRecord, now: float) -> bool:
    return _received(record) and record.lease_until == 0.0 and record.not_before <= now
