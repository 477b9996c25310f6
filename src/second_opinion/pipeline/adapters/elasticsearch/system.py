"""The indices of the system itself, made when they are first needed."""

from threading import Lock
from typing import Any, Final

from elasticsearch import BadRequestError, NotFoundError

from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import kind, store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import SYSTEM_SETTINGS, system_mappings

# The first index of a node that has just started takes a busy machine longer than any read or write may.
MAKE_SECONDS: Final = 60.0


class SystemIndex:
    """One index of the system. Made by the first writer; Elasticsearch would otherwise guess a mapping."""

    def __init__(self, connection: Connection, name: str, fields: dict[str, Any]) -> None:
        self.name: Final = name
        self._connection = connection
        self._fields = fields
        self._ready = False
        self._lock = Lock()

    def ready(self) -> str:
        """Make the index if there is none, let its mapping grow to ours, and return its name; asks once a process."""
        with self._lock:
            if not self._ready:
                with store_errors():
                    self._grow_or_create()
                self._ready = True
        return self.name

    def _grow_or_create(self) -> None:
        try:
            self._connection.writes.indices.put_mapping(index=self.name, **system_mappings(self._fields))
        except NotFoundError:
            create_index(self._connection, self.name, SYSTEM_SETTINGS, system_mappings(self._fields))


def create_index(
    connection: Connection,
    name: str,
    settings: dict[str, Any],
    mappings: dict[str, Any],
    aliases: dict[str, Any] | None = None,
) -> None:
    """Create an index; one that is there already, or that another process makes right now, is left as it is."""
    with store_errors():
        try:
            connection.writes.options(request_timeout=MAKE_SECONDS).indices.create(
                index=name, settings=settings, mappings=mappings, aliases=aliases or {}, wait_for_active_shards="1"
            )
        except BadRequestError as problem:
            if kind(problem.body) != "resource_already_exists_exception":
                raise
