"""Removing whatever a query finds, without the reindex module, which not every distribution has."""

from collections.abc import Mapping
from typing import Any, Final

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.documents import NOT_FOUND
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors

PAGE: Final = 1_000


def remove_found(connection: Connection, index: str, query: Mapping[str, Any]) -> int:
    """Remove all that a query finds in an index, or in those that fit a pattern; return how many that were.

    Raises:
        OpinionError: If some of it cannot be removed; asked for again, the rest goes.
    """
    removed = 0
    while True:
        with store_errors():
            connection.writes.indices.refresh(index=index, ignore_unavailable=True)
            answer = connection.reads.search(
                index=index,
                query=dict(query),
                size=PAGE,
                source=False,
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        hits = answer["hits"]["hits"]
        if not hits:
            return removed
        actions = [Action("delete", {"_index": hit["_index"], "_id": hit["_id"]}) for hit in hits]
        for outcome in run_bulk(connection, hits[0]["_index"], actions):
            if outcome.error is not None and outcome.status != NOT_FOUND:
                raise outcome.error
        removed += len(hits)
