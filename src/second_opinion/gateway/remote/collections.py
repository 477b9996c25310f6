"""Collections through a gateway."""

from typing import Any

from second_opinion.gateway.remote.bodies import CollectionList, FieldTypes
from second_opinion.gateway.remote.connection import Connection
from second_opinion.gateway.remote.requests import GatewayRequest, parsed, path_of
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import (
    DEFAULT_COLLECTION,
    CollectionRecord,
    QueryOverrides,
    ReindexAction,
    ReindexStatus,
)


class RemoteCollectionCalls:
    """What a client does with collections, asked of a gateway: those that its key sees."""

    _connection: Connection

    def collections(self) -> list[CollectionRecord]:
        """Return all collections by name."""
        return parsed(self._connection.ask(GatewayRequest("GET", "/v1/collections")), CollectionList).collections

    def collection(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        return parsed(self._connection.ask(GatewayRequest("GET", path_of("v1", "collections", name))), CollectionRecord)

    def set_collection(self, name: str, **choices: Any) -> CollectionRecord:
        """Set a collection's own choices for queries, in place of those it had; make the collection if there is none.

        Args:
            name: The collection.
            choices: As `Client.set_collection` takes them.

        Raises:
            InvalidRequest: If a choice is unknown or out of range.
        """
        body = parse_request(QueryOverrides, choices).model_dump(mode="json", exclude_none=True)
        request = GatewayRequest("PUT", path_of("v1", "collections", name), body=body)
        return parsed(self._connection.ask(request), CollectionRecord)

    def delete_collection(self, name: str) -> None:
        """Delete a collection with all its documents, traces, judgements and calibrations.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        self._connection.ask(GatewayRequest("DELETE", path_of("v1", "collections", name), repeatable=False))

    def reindex(
        self, name: str, action: ReindexAction = "begin", *, hold: bool = False, leave_behind: bool = False
    ) -> ReindexStatus:
        """Move a collection to an index that is made by the settings as they are now; return how that stands.

        Args:
            name: The collection.
            action: As `Client.reindex` takes it.
            hold: Begin without switching by itself.
            leave_behind: Switch although some documents could not be made anew.

        Raises:
            ReindexRefused: If it cannot be done as things stand.
            UnknownCollection: If there is none of this name.
        """
        body = {"action": action, "hold": hold, "leave_behind": leave_behind}
        request = GatewayRequest("POST", path_of("v1", "collections", name, "reindex"), body=body)
        return parsed(self._connection.ask(request), ReindexStatus)

    def reindex_status(self, name: str) -> ReindexStatus:
        """Return how the reindex of a collection stands; its phase is `none` when there is none."""
        request = GatewayRequest("GET", path_of("v1", "collections", name, "reindex"))
        return parsed(self._connection.ask(request), ReindexStatus)

    def field_types(self, collection: str = DEFAULT_COLLECTION) -> dict[str, str]:
        """Return the metadata fields that can be filtered on, and their types: keyword, double or boolean."""
        request = GatewayRequest("GET", path_of("v1", "collections", collection, "stats"))
        return parsed(self._connection.ask(request), FieldTypes).fields
