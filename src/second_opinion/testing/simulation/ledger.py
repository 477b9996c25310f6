"""What clients sent and were told, what readers were shown, and what of it breaks a promise."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from second_opinion.pipeline.ingest import Stores
from second_opinion.pipeline.ports import SearchRequest
from second_opinion.schemas.chunk import ChunkHit, chunk_id
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import DocumentRecord, WriteSet, document_key

EVERYTHING: Final = 10_000
CLOCKS_DIFFER: Final = 2.1
"""Seconds that two processes' clocks may be apart."""
UNREADABLE: Final = "unreadable"
DEADLY: Final = "deadly"
LABEL: Final = re.compile(r"label (\w+) part (\d+) of (\d+)")


def text_of(label: str, parts: int) -> str:
    """Return a document's text: `parts` paragraphs, each of which says which content it belongs to."""
    return "\n\n".join(f"record label {label} part {part} of {parts}" for part in range(parts))


def label_of(chunk: ChunkHit) -> str:
    """Return the label of the content that a chunk was cut from."""
    found = LABEL.search(chunk.text)
    return found[1] if found else f"?{chunk.text}"


@dataclass(slots=True)
class Sent:
    """One change of a document that a client sent.

    Attributes:
        order: Its place among the changes of the document: the newest has the highest.
        label: What its content says; None for a deletion.
        acknowledged: The client was told that it is taken care of.
    """

    order: int
    label: str | None
    acknowledged: bool = False


@dataclass(slots=True)
class Ledger:
    """Knows what must hold.

    Attributes:
        sent: Every change by document, in its order.
        violations: Broken promises, as sentences.
        committed: By key, each committed set there ever was, with the moment (a count) from which it held.
        moment: Grows with each change of what is committed.
        unversioned: Documents of which the last change to arrive is the newest.
    """

    stores: Stores
    index: str
    sent: dict[str, list[Sent]] = field(default_factory=lambda: defaultdict(list))
    violations: list[str] = field(default_factory=list)
    committed: dict[str, list[tuple[int, WriteSet | None]]] = field(default_factory=lambda: defaultdict(list))
    names: dict[str, str] = field(default_factory=dict)
    moment: int = 0
    commits: int = 0
    unversioned: set[str] = field(default_factory=set)
    _labels: dict[str, str] = field(default_factory=dict)
    _records: dict[str, DocumentRecord] = field(default_factory=dict)

    def will_send(self, document: str, order: int, label: str | None) -> Sent:
        """Note a change before it is sent."""
        for one in self.sent[document]:
            if one.order == order:
                return one
        change = Sent(order, label)
        self.sent[document].append(change)
        self.names[document_key(DEFAULT_COLLECTION, document)] = document
        return change

    def broken(self, sentence: str) -> None:
        """Note a broken promise."""
        if sentence not in self.violations:
            self.violations.append(sentence)

    def on_record(self, record: DocumentRecord, at: float) -> None:
        """Watch a record that was just stored at a moment (Unix seconds).

        What it commits must be whole, visible and not older than before; a lease is taken only when it has run out.
        """
        self._check_lease(self._records.get(record.key), record, at)
        self._records[record.key] = record
        now = record.committed.get(self.index)
        history = self.committed[record.key]
        before = history[-1][1] if history else None
        if now == before:
            return
        self.moment += 1
        history.append((self.moment, now))
        if now is not None:
            self.commits += 1
            self._check_commit(record, now)

    def on_delete(self, ids: Sequence[str]) -> None:
        """Watch chunks that were just deleted: readers must not need them."""
        for one in ids:
            key, write_set, _ = one.split("@")
            record = self._records.get(key)
            if record is not None and any(held.write_set == write_set for held in record.committed.values()):
                self.broken(f"{record.document_id}: chunk {write_set} was deleted while it is committed")

    def _check_lease(self, before: DocumentRecord | None, after: DocumentRecord, at: float) -> None:
        if before is None or before.lease_owner is None or after.lease_owner is None:
            return
        taken = before.lease_owner != after.lease_owner and before.target == after.target
        if taken and before.lease_until > at + CLOCKS_DIFFER:
            self.broken(f"{after.document_id}: the lease of {after.target} was taken while another held it")

    def _check_commit(self, record: DocumentRecord, written: WriteSet) -> None:
        document = self.names.get(record.key, record.document_id)
        labels = self.labels(record.key, written)
        if len(labels) != 1 or None in labels:
            self.broken(f"{document}: committed {written.write_set} whose chunks are {labels}")
            return
        (label,) = labels
        orders = [one.order for one in self.sent[document] if one.label == label]
        floor = self._oldest_allowed(record.key, document)
        if not orders:
            self.broken(f"{document}: committed {label}, which nobody sent")
        elif document not in self.unversioned and max(orders) < floor:
            self.broken(f"{document}: committed {label} (change {max(orders)}) after change {floor}")

    def _oldest_allowed(self, key: str, document: str) -> int:
        """Return the order that what was committed before must at least have had."""
        floors = [0]
        for _, written in self.committed[key][:-1]:
            label = self._labels.get(written.write_set) if written else None
            floors += [min(one.order for one in self.sent[document] if one.label == label)] if label else []
        return max(floors)

    def labels(self, key: str, written: WriteSet) -> set[str | None]:
        """Return the labels of a set's chunks as searches would find them now; None stands for a missing chunk."""
        ids = [chunk_id(key, written.write_set, ordinal) for ordinal in range(written.chunks)]
        request = SearchRequest(
            index=self.index,
            text="",
            vector=np.zeros(self.stores.collections.fingerprint().dims, np.float32),
            filters=(),
            depth=EVERYTHING,
            write_sets=(written.write_set,),
            bm25=False,
        )
        found = {hit.chunk.chunk_id: hit.chunk for hit in self.stores.chunks.search(request).knn}
        labels: set[str | None] = {label_of(found[one]) if one in found else None for one in ids}
        if len(labels) == 1 and None not in labels:
            self._labels[written.write_set] = next(str(label) for label in labels)
        return labels

    def label_of_set(self, write_set: str) -> str | None:
        """Return what a set that was committed says."""
        return self._labels.get(write_set)

    def held_between(self, key: str, first: int, last: int) -> list[WriteSet | None]:
        """Return what was committed at any moment from `first` to `last`."""
        history = self.committed.get(key, [])
        before = [written for moment, written in history if moment <= first]
        return [before[-1] if before else None, *(written for moment, written in history if first < moment <= last)]
