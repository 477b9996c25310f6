"""Remove what nobody sees: former write sets, orphans of lost work, contents without a pointer, old tombstones.

And see that what readers are promised is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from second_opinion.pipeline.ingest.clean import pointed, remove_sets
from second_opinion.pipeline.ingest.mend import Mender
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Guard, Seen, WrittenSet, no_guard
from second_opinion.schemas.chunk import write_set_id
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import DocumentRef, DocumentState, WriteSet
from second_opinion.schemas.errors import OpinionError

PAGE: Final = 500
PAUSE: Final = 50.0
"""A sweep reads all that is stored: it is followed by at least so many times the time that it took."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed, and how many documents it found torn."""

    write_sets: int = 0
    contents: int = 0
    tombstones: int = 0
    mended: int = 0


class Sweeper:
    """Removes orphans that are older than the grace time, and mends what lacks chunks. Any number may run at once."""

    def __init__(self, stores: Stores, policy: Policy) -> None:
        self._stores = stores
        self._policy = policy
        self._mender = Mender(stores, policy)
        self._not_before = float("-inf")

    @property
    def due(self) -> bool:
        """Whether the pause since this sweeper's last sweep is over."""
        return self._stores.clock.now() >= self._not_before

    def sweep(self, guard: Guard = no_guard) -> Swept:
        """Go once through all chunks, contents and documents.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had; the next sweep goes on.
        """
        began = self._stores.clock.now()
        sets = mended = 0
        for collection in self._collections():
            sets += sum(self._sweep_index(index, guard) for index in collection.indices)
            mended += self._mender.mend(collection, guard)
        contents, tombstones = self._sweep_contents(guard), self._purge_tombstones()
        swept = Swept(write_sets=sets, contents=contents, tombstones=tombstones, mended=mended)
        ended = self._stores.clock.now()
        self._not_before = ended + PAUSE * (ended - began)
        return swept

    def _collections(self) -> Iterator[CollectionRecord]:
        for name in self._stores.collections.names():
            try:
                record = self._stores.collections.get(name)
            except OpinionError as problem:
                log.warning("collection_not_swept", collection=name, error=problem.message)
            else:
                self._drop_retired(record)
                yield record

    def _drop_retired(self, record: CollectionRecord) -> None:
        """Remove indices that were left so long ago that no work from before can still write or read them."""
        before = self._stores.clock.now() - self._policy.grace_seconds
        for index in [index for index, since in record.retired.items() if since < before]:
            self._stores.collections.drop_index(record.name, index)

    def _sweep_index(self, index: str, guard: Guard) -> int:
        removed, after = 0, None
        before = self._stores.clock.now() - self._policy.grace_seconds
        while found := self._stores.chunks.write_sets(index, before=before, limit=PAGE, after=after):
            guard()
            records = self._stores.documents.get([one.key for one in found])
            for one in found:
                if not _is_live(one, records.get(one.key)):
                    orphan = WriteSet(write_set=one.write_set, chunks=one.chunks)
                    remove_sets(self._stores.chunks, one.key, {index: orphan})
                    removed += 1
            after = f"{found[-1].key}@{found[-1].write_set}"
        return removed

    def _sweep_contents(self, guard: Guard) -> int:
        removed, after = 0, None
        before = self._stores.clock.now() - self._policy.grace_seconds
        while found := self._stores.contents.older_than(before, limit=PAGE, after=after):
            guard()
            records = self._stores.documents.get([ref.key for _, ref in found])
            loose = [ref for _, ref in found if not _is_pointed_to(ref, records.get(ref.key))]
            self._stores.contents.delete(list(dict.fromkeys(loose)))
            removed += len(loose)
            after = found[-1][0]
        return removed

    def _purge_tombstones(self) -> int:
        before = self._stores.clock.now() - self._policy.tombstone_seconds
        found = self._stores.documents.tombstones(before=before, limit=PAGE)
        return self._stores.documents.remove(found)


def _is_live(found: WrittenSet, seen: Seen | None) -> bool:
    """Tell whether a set is committed or may still become so.

    A set that the record's target and attempts name can be committed by its writer even after the lease ran out,
    because nobody has taken over yet; any other never can.
    """
    if seen is None:
        return False
    record = seen.record
    committed = record.committed.get(found.index)
    if committed is not None and committed.write_set == found.write_set:
        return True
    named = write_set_id(record.target, record.attempts)
    return record.state is DocumentState.RECEIVED and found.write_set == named


def _is_pointed_to(ref: DocumentRef, seen: Seen | None) -> bool:
    return seen is not None and ref in pointed(seen.record)
