"""Remove what nobody sees: former write sets, orphans of lost work, contents without a pointer, old tombstones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import ChunkIndex, Guard, Seen, WrittenSet, no_guard
from second_opinion.schemas.chunk import chunk_id, write_set_id
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import DocumentRecord, DocumentRef, DocumentState, WriteSet
from second_opinion.schemas.errors import OpinionError

PAGE: Final = 500
DELETE_AT_ONCE: Final = 1_000
PAUSE: Final = 50.0
"""A sweep reads all that is stored: it is followed by at least so many times the time that it took."""

log = structlog.get_logger(__name__)


def remove_sets(chunks: ChunkIndex, key: str, sets: Mapping[str, WriteSet]) -> None:
    """Remove write sets of one document by their known ids, in each index."""
    for index, written in sets.items():
        for start in range(0, written.chunks, DELETE_AT_ONCE):
            ordinals = range(start, min(start + DELETE_AT_ONCE, written.chunks))
            chunks.delete(index, [chunk_id(key, written.write_set, ordinal) for ordinal in ordinals])


def discard_sets(chunks: ChunkIndex, key: str, sets: Mapping[str, WriteSet]) -> None:
    """Remove write sets that nobody will commit; what cannot be removed now is left to the sweeper."""
    try:
        remove_sets(chunks, key, sets)
    except OpinionError as problem:
        log.info("chunks_left_for_the_sweeper", key=key, error=problem.code)


def remove_leftovers(stores: Stores, changes: Sequence[tuple[DocumentRecord | None, DocumentRecord]]) -> None:
    """Remove what records pointed to before they were changed and no longer point to.

    Readers see none of it any more, so a failure here only leaves work for the sweeper.
    """
    contents: list[DocumentRef] = []
    try:
        for before, after in changes:
            if before is None:
                continue
            contents += [ref for ref in _pointed(before) if ref not in _pointed(after)]
            remove_sets(stores.chunks, before.key, _former(before, after))
        stores.contents.delete(contents)
    except OpinionError as problem:
        log.info("leftovers_left_for_the_sweeper", error=problem.code)


def _pointed(record: DocumentRecord) -> list[DocumentRef]:
    targets = [record.committed_target] if record.committed_target else []
    if record.state is not DocumentState.DELETED:
        targets.append(record.target)
    return [DocumentRef(key=record.key, target=target) for target in targets]


def _former(before: DocumentRecord, after: DocumentRecord) -> dict[str, WriteSet]:
    return {index: one for index, one in before.committed.items() if after.committed.get(index) != one}


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed."""

    write_sets: int = 0
    contents: int = 0
    tombstones: int = 0


class Sweeper:
    """Removes orphans that are older than the grace time. Any number may run at once."""

    def __init__(self, stores: Stores, policy: Policy) -> None:
        self._stores = stores
        self._policy = policy
        self._not_before = float("-inf")

    @property
    def due(self) -> bool:
        """Whether the pause since this sweeper's last sweep is over."""
        return self._stores.clock.now() >= self._not_before

    def sweep(self, guard: Guard = no_guard) -> Swept:
        """Go once through all chunks and contents.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had; the next sweep goes on.
        """
        began = self._stores.clock.now()
        sets = sum(self._sweep_index(index, guard) for index in self._indices())
        swept = Swept(write_sets=sets, contents=self._sweep_contents(guard), tombstones=self._purge_tombstones())
        ended = self._stores.clock.now()
        self._not_before = ended + PAUSE * (ended - began)
        return swept

    def _indices(self) -> Iterator[str]:
        for name in self._stores.collections.names():
            try:
                record = self._stores.collections.get(name)
            except OpinionError as problem:
                log.warning("collection_not_swept", collection=name, error=problem.message)
            else:
                self._drop_retired(record)
                yield from record.indices

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
    return seen is not None and ref in _pointed(seen.record)
