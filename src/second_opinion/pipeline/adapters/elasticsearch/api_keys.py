"""API keys in Elasticsearch: one record for each, written on creation and once more when it is revoked."""

from typing import Final

from elasticsearch import ConflictError, NotFoundError

from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import API_KEY_FIELDS, IndexNames
from second_opinion.pipeline.adapters.elasticsearch.system import SystemIndex
from second_opinion.schemas.access import ApiKey
from second_opinion.schemas.errors import UnknownKey, WriteConflict

PAGE: Final = 1_000
TRIES: Final = 5


class ElasticsearchApiKeys:
    """Implements `pipeline.ports.ApiKeyStore`."""

    def __init__(self, connection: Connection, names: IndexNames) -> None:
        self._connection = connection
        self._index = SystemIndex(connection, names.api_keys, API_KEY_FIELDS)

    def create(self, key: ApiKey) -> None:
        """Keep a new key."""
        with store_errors():
            try:
                self._connection.writes.create(
                    index=self._index.ready(), id=key.id, document=key.model_dump(mode="json")
                )
            except ConflictError as problem:
                raise WriteConflict(f"there is an API key {key.id} already") from problem

    def listed(self) -> list[ApiKey]:
        """Return all keys, revoked ones too, the oldest first; sees every write."""
        found: list[ApiKey] = []
        after: list[object] | None = None
        with store_errors():
            self._connection.writes.indices.refresh(index=self._index.name, ignore_unavailable=True)
            while True:
                answer = self._connection.reads.search(
                    index=self._index.name,
                    sort=[{"created_at": "asc"}, {"id": "asc"}],
                    search_after=after,
                    size=PAGE,
                    track_total_hits=False,
                    ignore_unavailable=True,
                    allow_partial_search_results=False,
                )
                hits = answer["hits"]["hits"]
                found += [ApiKey.model_validate(hit["_source"]) for hit in hits]
                if len(hits) < PAGE:
                    return found
                after = hits[-1]["sort"]

    def revoke(self, key_id: str, *, at: float) -> ApiKey:
        """Mark a key as revoked and return it; one that was revoked before stays as it was."""
        for _ in range(TRIES):
            try:
                return self._revoke(key_id, at)
            except WriteConflict:
                continue
        raise WriteConflict(f"API key {key_id} is being changed by somebody else")

    def _revoke(self, key_id: str, at: float) -> ApiKey:
        with store_errors():
            try:
                stored = self._connection.reads.get(index=self._index.name, id=key_id, realtime=True)
            except NotFoundError as problem:
                raise UnknownKey(f"there is no API key {key_id!r}") from problem
            key = ApiKey.model_validate(stored["_source"])
            if key.revoked_at is not None:
                return key
            revoked = key.model_copy(update={"revoked_at": at})
            try:
                self._connection.writes.index(
                    index=self._index.name,
                    id=key_id,
                    document=revoked.model_dump(mode="json"),
                    if_seq_no=stored["_seq_no"],
                    if_primary_term=stored["_primary_term"],
                )
            except ConflictError as problem:
                raise WriteConflict(f"API key {key_id} was changed meanwhile") from problem
        return revoked
