"""Collections: what there is, the choices that each has of its own, and the end of one."""

from typing import Any

from second_opinion.gateway.parts import Parts
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import DEFAULT_COLLECTION, CollectionRecord, QueryOverrides
from second_opinion.schemas.errors import UnknownCollection


class CollectionCalls:
    """What a client does with collections."""

    parts: Parts

    def collections(self) -> list[CollectionRecord]:
        """Return all collections by name."""
        held = self.parts.stores.collections
        return [held.get(name) for name in held.names()]

    def collection(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        return self.parts.stores.collections.get(name)

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

    def field_types(self, collection: str = DEFAULT_COLLECTION) -> dict[str, str]:
        """Return the metadata fields that can be filtered on, and their types: keyword, double or boolean."""
        return self.parts.stores.collections.field_types(collection)
