"""Reading by id, in real time."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import cause, store_errors
from second_opinion.pipeline.time_budget import left
from second_opinion.schemas.errors import StoreUnavailable

AT_ONCE: Final = 1_000
PAUSES: Final = (0.1, 0.4, 1.6)


def multi_get(connection: Connection, index: str, ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the items that are stored under these ids. An index that nobody has made yet holds none.

    An index that another process makes right now has no shard to read from for a moment, so that is waited for.

    Raises:
        StoreUnavailable: If an item cannot be read.
    """
    unique = list(dict.fromkeys(ids))
    found: list[Mapping[str, Any]] = []
    for start in range(0, len(unique), AT_ONCE):
        found += _get(connection, index, unique[start : start + AT_ONCE])
    return found


def _get(connection: Connection, index: str, ids: Sequence[str]) -> list[Mapping[str, Any]]:
    for pause in (*PAUSES, None):
        with store_errors():
            items = connection.reads.mget(index=index, ids=list(ids), realtime=True)["docs"]
        problems = [item["error"] for item in items if _is_unreadable(item)]
        if not problems:
            break
        if pause is None or left(pause) < pause:
            raise StoreUnavailable(f"Elasticsearch cannot read from {index}: {cause(problems[0])}")
        time.sleep(pause)
    return [item for item in items if item.get("found")]


def _is_unreadable(item: Mapping[str, Any]) -> bool:
    return "error" in item and item["error"].get("type") != "index_not_found_exception"
