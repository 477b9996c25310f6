"""Ending bulk loads whose makers are gone."""

import structlog

from second_opinion.pipeline.ports import CollectionStore
from second_opinion.schemas.errors import OpinionError

log = structlog.get_logger(__name__)


def end_overdue_loads(collections: CollectionStore, *, now: float) -> int:
    """End every bulk load that nobody has kept up; return how many were ended.

    One that cannot be ended stays overdue, and is tried again the next time.

    Raises:
        StoreUnavailable: If Elasticsearch cannot be had.
    """
    ended = 0
    for record in collections.records():
        if record.load is None or record.load.until >= now:
            continue
        try:
            collections.end_load(record.name)
        except OpinionError as problem:
            log.warning("bulk_load_not_ended", collection=record.name, error=problem.message)
        else:
            log.warning("bulk_load_ended", collection=record.name, reason="nobody has kept it up")
            ended += 1
    return ended
