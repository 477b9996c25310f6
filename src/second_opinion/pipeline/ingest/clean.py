"""Remove what a document no longer points to."""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from second_opinion.pipeline.ingest.stores import Stores
from second_opinion.pipeline.ports import ChunkIndex
from second_opinion.schemas.chunk import chunk_id
from second_opinion.schemas.document import DocumentRecord, DocumentRef, DocumentState, WriteSet
from second_opinion.schemas.errors import OpinionError

DELETE_AT_ONCE: Final = 1_000

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
            contents += [ref for ref in pointed(before) if ref not in pointed(after)]
            remove_sets(stores.chunks, before.key, _former(before, after))
        stores.contents.delete(contents)
    except OpinionError as problem:
        log.info("leftovers_left_for_the_sweeper", error=problem.code)


def pointed(record: DocumentRecord) -> list[DocumentRef]:
    """Return the operations of which a document needs what was sent."""
    targets = [record.committed_target] if record.committed_target else []
    if record.state is not DocumentState.DELETED:
        targets.append(record.target)
    return [DocumentRef(key=record.key, target=target) for target in targets]


def _former(before: DocumentRecord, after: DocumentRecord) -> dict[str, WriteSet]:
    return {index: one for index, one in before.committed.items() if after.committed.get(index) != one}
