"""Collections: what there is, the choices that each has of its own, and the end of one."""

from typing import Any

from second_opinion.gateway.direct.bounded import bounded
from second_opinion.gateway.parts import Parts
from second_opinion.pipeline.ingest import Reindexer
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import (
    DEFAULT_COLLECTION,
    CollectionRecord,
    QueryOverrides,
    ReindexAction,
    ReindexStatus,
)
from second_opinion.schemas.errors import UnknownCollection


class CollectionCalls:
    """What a client does with collections."""

    parts: Parts
    call_seconds: float

    @bounded
    def collections(self) -> list[CollectionRecord]:
        """Return all collections by name."""
        held = self.parts.stores.collections
        return [held.get(name) for name in held.names()]

    @bounded
    def collection(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        return self.parts.stores.collections.get(name)

    @bounded
    def set_collection(self, name: str, **choices: Any) -> CollectionRecord:
        """Set a collection's own choices for queries, in place of those it had; make the collection if there is none.

        Args:
            name: The collection.
            choices: Any of floor, top_k, candidates, chunks_per_document, bm25_weight, knn_weight, reranker,
                on_unavailable.

        Raises:
            InvalidRequest: If a choice is unknown or out of range.
        """
        overrides = parse_request(QueryOverrides, choices)
        held = self.parts.stores.collections
        held.ensure(name)
        return held.override(name, overrides)

    def delete_collection(self, name: str) -> None:
        """Delete a collection with all its documents, traces, judgements and calibrations.

        The collection itself goes last, so that a delete that was cut short can be asked for again.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        held = self.parts.stores.collections
        calibrations = {one.name: one.calibration_ids for one in held.records()}
        if name not in calibrations:
            raise UnknownCollection(f"there is no collection {name!r}")
        own = calibrations.pop(name)
        # Whoever makes one of this name later must not tell the former one's listeners.
        for webhook in self.parts.webhooks.listed():
            if webhook.collection == name:
                self.parts.webhooks.remove(webhook.id)
        self.parts.webhook_book.forget()
        self.parts.traces.forget(name)
        self.parts.judgements.forget(name)
        self.parts.calibrations.remove(own.difference(*calibrations.values()))
        held.delete(name)

    @bounded
    def reindex(
        self, name: str, action: ReindexAction = "begin", *, hold: bool = False, leave_behind: bool = False
    ) -> ReindexStatus:
        """Move a collection to an index that is made by the settings as they are now; return how that stands.

        To begin returns at once: the workers go on, and readers are switched when the new index holds every document.
        Until it is finished both are written, so that a rollback loses nothing.

        Args:
            name: The collection.
            action: `begin`, `switch`, `rollback`, `finish` or `abandon`. To begin again tries what failed once more.
            hold: Begin without switching by itself.
            leave_behind: Switch although some documents could not be made anew; they are not found from then on.

        Raises:
            ReindexRefused: If it cannot be done as things stand.
            UnknownCollection: If there is none of this name.
        """
        return self._reindexer.act(name, action, hold=hold, leave_behind=leave_behind)

    @bounded
    def reindex_status(self, name: str) -> ReindexStatus:
        """Return how the reindex of a collection stands; its phase is `none` when there is none.

        Raises:
            UnknownCollection: If there is no such collection.
        """
        return self._reindexer.status(name)

    @property
    def _reindexer(self) -> Reindexer:
        return Reindexer(self.parts.stores, self.parts.policy)

    @bounded
    def field_types(self, collection: str = DEFAULT_COLLECTION) -> dict[str, str]:
        """Return the metadata fields that can be filtered on, and their types: keyword, double or boolean."""
        return self.parts.stores.collections.field_types(collection)
