"""The resources. `ROUTERS` is the one list of them; a new module adds its router here."""

from typing import Final

from fastapi import APIRouter

from second_opinion.gateway.http import health, page
from second_opinion.gateway.http.routes import about, rerank

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    page.router,
    about.router,
    rerank.router,
)
