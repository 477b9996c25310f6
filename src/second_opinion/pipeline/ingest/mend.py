"""Find documents whose committed chunks are not all there, and have them indexed again.

Nothing that this system does leads there, since a commit follows a refresh of all its chunks. A snapshot does: it is
taken shard by shard, each at a moment of its own, so records and chunks that come back from one need not fit.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import structlog

from second_opinion.pipeline.ingest.retry import begin_anew
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Guard, Seen, Swap, no_guard
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import DocumentRecord, DocumentState
from second_opinion.schemas.errors import ContentMissing, UnknownCollection

PAGE: Final = 500

log = structlog.get_logger(__name__)


class Mender:
    """Makes whole what readers see only a part of. Any number may run at once."""

    def __init__(self, stores: Stores, policy: Policy) -> None:
        self._stores = stores
        self._policy = policy

    def mend(self, collection: CollectionRecord, guard: Guard = no_guard) -> int:
        """Go once through the documents of a collection; return how many were not whole.

        What is left of such a document stays visible until it is indexed again. One of which nothing is kept that was
        sent is recorded as failed.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had; trying again is safe.
        """
        mended = 0
        for page in self._settled(collection.name):
            guard()
            torn = self._torn(collection, page)
            if torn:
                mended += self._begin_anew(torn)
        if mended:
            log.warning("documents_mended", collection=collection.name, documents=mended)
        return mended

    def _settled(self, collection: str) -> Iterator[list[DocumentRecord]]:
        """Yield pages of indexed documents that have been so for longer than the grace time."""
        after, before = None, self._stores.clock.now() - self._policy.grace_seconds
        state = DocumentState.INDEXED.value
        while found := self._stores.documents.listed(collection, state=state, after=after, limit=PAGE):
            yield [record for record in found if record.updated_at < before]
            after = found[-1].document_id

    def _torn(self, collection: CollectionRecord, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        torn: dict[str, DocumentRecord] = {}
        for index in collection.indices:
            sets = {one.key: written for one in records if (written := one.committed.get(index))}
            try:
                counted = self._stores.chunks.set_sizes(index, [written.write_set for written in sets.values()])
            except UnknownCollection:
                log.warning("index_is_gone", collection=collection.name, index=index)
                continue
            for one in records:
                written = sets.get(one.key)
                if written is not None and counted.get(written.write_set, 0) < written.chunks:
                    torn[one.key] = one
        return list(torn.values())

    def _begin_anew(self, torn: Sequence[DocumentRecord]) -> int:
        """Begin on those that are still as they were when their chunks were counted."""
        known = {record.key: record for record in torn}
        found = self._stores.documents.get(list(known))
        same = [one for key, one in found.items() if one.record == known[key]]
        begun = begin_anew(self._stores, self._policy, same)
        without = [one for one in same if one.record.key not in begun]
        failed = self._stores.documents.swap([Swap(self._failed(one), one) for one in without])
        return sum(one is not None for one in [*begun.values(), *failed])

    def _failed(self, seen: Seen) -> DocumentRecord:
        problem = ContentMissing(
            f"some chunks of document {seen.record.document_id!r} are missing, and so is what was sent for it",
            hint="Send it again.",
        )
        changes = {"state": DocumentState.FAILED, "error": problem.info(), "updated_at": self._stores.clock.now()}
        return seen.record.model_copy(update=changes)
