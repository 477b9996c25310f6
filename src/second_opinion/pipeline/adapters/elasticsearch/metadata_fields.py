"""Metadata fields of a collection: the mapping of its index is the registry of their names and types."""

from collections.abc import Mapping
from typing import Any

from elasticsearch import BadRequestError, NotFoundError

from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import cause, store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import MAX_METADATA_FIELDS
from second_opinion.schemas.errors import MetadataTypeConflict, UnknownCollection


class MetadataFields:
    """The fields of each index, read from its mapping and added to it.

    A field is a name with a type: keyword, double or boolean. What is there stays, since a mapping only grows.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, float], dict[str, str]] = {}

    def ensure(self, index: str, collection: str, wanted: Mapping[str, str], *, born_at: float) -> None:
        """Add fields, without a question where this process knows that they are there.

        A collection that is deleted and made again, at another `born_at` (Unix seconds), is looked at again.

        Raises:
            MetadataTypeConflict: If a field has another type in this collection, or there are too many fields.
        """
        known = self._known.get((index, born_at), {})
        if any(known.get(field) != kind for field, kind in wanted.items()):
            self.register(index, collection, wanted)
            self._known[index, born_at] = self.types(index, collection)

    def register(self, index: str, collection: str, wanted: Mapping[str, str]) -> None:
        """Add those fields that the index has not.

        Raises:
            MetadataTypeConflict: If a field has another type in this collection, or there are too many fields.
        """
        known = self.types(index, collection)
        if (conflict := _conflict(collection, known, wanted)) is not None:
            raise conflict
        missing = {field: {"type": kind} for field, kind in wanted.items() if field not in known}
        if not missing:
            return
        if len(known) + len(missing) > MAX_METADATA_FIELDS:
            raise _too_many(collection)
        properties = {"metadata": {"type": "object", "dynamic": "strict", "properties": missing}}
        with store_errors():
            try:
                self._connection.writes.indices.put_mapping(index=index, properties=properties)
            except BadRequestError as problem:
                raise self._refused(index, collection, wanted, problem) from problem

    def types(self, index: str, collection: str) -> dict[str, str]:
        """Return the fields of an index and their types.

        Raises:
            UnknownCollection: If the index is gone.
        """
        mapping = self.mapping(index)
        if mapping is None:
            raise UnknownCollection(f"the index of collection {collection!r} is gone")
        fields = mapping.get("properties", {}).get("metadata", {}).get("properties", {})
        return {field: str(definition["type"]) for field, definition in sorted(fields.items())}

    def mapping(self, index: str) -> dict[str, Any] | None:
        """Return the whole mapping of an index; None if there is no such index."""
        with store_errors():
            try:
                answer = self._connection.reads.indices.get_mapping(index=index)
            except NotFoundError:
                return None
        return dict(answer[index]["mappings"])

    def _refused(self, index: str, collection: str, wanted: Mapping[str, str], problem: BadRequestError) -> Exception:
        # Another process registered a field between our look and our write.
        if "Limit of total fields" in cause(problem.body):
            return _too_many(collection)
        return _conflict(collection, self.types(index, collection), wanted) or problem


def _conflict(collection: str, known: Mapping[str, str], wanted: Mapping[str, str]) -> MetadataTypeConflict | None:
    for field, sent in wanted.items():
        if (has := known.get(field, sent)) != sent:
            return MetadataTypeConflict(
                f"metadata field {field!r} is {has} in collection {collection!r}, and {sent} was sent",
                hint=f"Send {has} values in {field!r}, or use another field name.",
            )
    return None


def _too_many(collection: str) -> MetadataTypeConflict:
    return MetadataTypeConflict(
        f"collection {collection!r} would have more than {MAX_METADATA_FIELDS} metadata fields",
        hint="Use fewer, more general field names.",
    )
