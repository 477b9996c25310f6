"""The resources. `ROUTERS` is the one list of them; a new module adds its router here."""

from typing import Final

from fastapi import APIRouter

from second_opinion.gateway.http import health, metrics, page
from second_opinion.gateway.http.routes import about, documents, events, queries, rerank

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    metrics.router,
    page.router,
    about.router,
    documents.router,
    queries.router,
    events.router,
    rerank.router,
)
