"""Judgements in Elasticsearch: one record for each judged pair."""

from collections.abc import Sequence
from typing import Any

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk, to_json
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import JUDGEMENT_FIELDS, IndexNames
from second_opinion.pipeline.adapters.elasticsearch.reading import multi_get
from second_opinion.pipeline.adapters.elasticsearch.removal import remove_found
from second_opinion.pipeline.adapters.elasticsearch.system import SystemIndex
from second_opinion.schemas.trace import Judgement


class ElasticsearchJudgements:
    """Implements `pipeline.ports.JudgementStore`."""

    def __init__(self, connection: Connection, names: IndexNames) -> None:
        self._connection = connection
        self._index = SystemIndex(connection, names.judgements, JUDGEMENT_FIELDS)

    def write(self, judgements: Sequence[Judgement]) -> None:
        """Write judgements, each in place of an earlier one of the same pair."""
        if not judgements:
            return
        actions = [
            Action("index", {"_id": one.key}, to_json({**one.model_dump(mode="json"), "key": one.key}))
            for one in judgements
        ]
        for outcome in run_bulk(self._connection, self._index.ready(), actions):
            if outcome.error is not None:
                raise outcome.error

    def get(self, keys: Sequence[str]) -> dict[str, Judgement]:
        """Return the judgements of these pairs; missing ones are left out."""
        items = multi_get(self._connection, self._index.name, keys)
        return {item["_id"]: Judgement.model_validate(item["_source"]) for item in items}

    def listed(self, collection: str | None, *, after: str | None, limit: int) -> list[Judgement]:
        """Return judgements by their key, of one collection or of all, those behind `after`; sees every write."""
        of_collection: dict[str, Any] = (
            {"match_all": {}} if collection is None else {"term": {"collection": collection}}
        )
        with store_errors():
            self._connection.writes.indices.refresh(index=self._index.name, ignore_unavailable=True)
            answer = self._connection.reads.search(
                index=self._index.name,
                query=of_collection,
                sort=[{"key": "asc"}],
                search_after=None if after is None else [after],
                size=limit,
                track_total_hits=False,
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        return [Judgement.model_validate(hit["_source"]) for hit in answer["hits"]["hits"]]

    def forget(self, collection: str) -> None:
        """Remove all judgements in a collection."""
        remove_found(self._connection, self._index.name, {"term": {"collection": collection}})
