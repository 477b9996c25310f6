"""The resources. `ROUTERS` is the one list of them; a new module adds its router here."""

from typing import Final

from fastapi import APIRouter

from second_opinion.gateway.http import health, metrics, page
from second_opinion.gateway.http.routes import (
    about,
    collections,
    dead_letters,
    documents,
    events,
    floor,
    judgements,
    lookups,
    queries,
    queues,
    reindexing,
    rerank,
    traces,
    webhooks,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    metrics.router,
    page.router,
    about.router,
    lookups.router,
    documents.router,
    queries.router,
    events.router,
    traces.router,
    floor.router,
    judgements.router,
    collections.router,
    reindexing.router,
    dead_letters.router,
    queues.router,
    webhooks.router,
    rerank.router,
)
