"""The application: middleware from the outside in, then the resources."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from fastapi import FastAPI

from second_opinion import __version__
from second_opinion.gateway.client import Client
from second_opinion.gateway.http.access import Door
from second_opinion.gateway.http.context import Gateway, opened
from second_opinion.gateway.http.examples import with_nulls
from second_opinion.gateway.http.guard import Answering
from second_opinion.gateway.http.headers import SecurityHeaders
from second_opinion.gateway.http.keyring import Keyring
from second_opinion.gateway.http.limits import BodyLimits, RateLimits
from second_opinion.gateway.http.metrics import Metrics
from second_opinion.gateway.http.observing import Observing
from second_opinion.gateway.http.problems import EVERYWHERE, Problem, answers, install
from second_opinion.gateway.http.rates import RateDesk
from second_opinion.gateway.http.request_id import RequestIds
from second_opinion.gateway.http.rerank import RerankDesk
from second_opinion.gateway.http.routes import ROUTERS
from second_opinion.gateway.http.webhooks import WebhookDesk, webhook_desk
from second_opinion.gateway.parts import Parts, connect
from second_opinion.workers.bootstrap import gateway_rerankers, open_webhook_sender
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_request_book

SUMMARY: Final = "Retrieval that has to be right: a calibrated second opinion, a relevance floor, honest refusals."
SCHEMES: Final = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key: `opinion keys create NAME --scope query`."}
}


def make_app(settings: Settings, parts: Parts | None = None) -> FastAPI:
    """Return the gateway for these settings. Nothing is connected before it is used.

    Args:
        settings: Where the servers are, and the gateway's own choices.
        parts: The connections to use, when a test or a program has made them itself.
    """
    held = _gateway(settings, parts or connect(settings))
    app = FastAPI(
        title="Second Opinion",
        summary=SUMMARY,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses=answers(*EVERYWHERE),
        lifespan=lambda _app: _living(held),
    )
    app.state.gateway = held
    install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.state.metrics = Metrics()
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimits)
    app.add_middleware(RateLimits)
    app.add_middleware(Door)
    app.add_middleware(Answering)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Observing, metrics=app.state.metrics)
    app.add_middleware(RequestIds)
    app.openapi = partial(_described, app)  # type: ignore[method-assign] # the framework's own way to extend it
    return app


@asynccontextmanager
async def _living(held: Gateway) -> AsyncIterator[None]:
    rates: RateDesk = held.more["rates"]
    async with opened(held), webhook_desk(held).running(), rates.running():
        yield


def _gateway(settings: Settings, parts: Parts) -> Gateway:
    client = Client(parts=parts)

    async def read() -> list[Any]:
        return await held.run(parts.api_keys.listed)

    held = Gateway(
        settings=settings, client=client, keys=Keyring(read, parts.stores.clock), rerank=rerank_desk(settings)
    )
    held.more["webhooks"] = WebhookDesk(held, open_webhook_sender(settings))
    held.more["rates"] = RateDesk(settings.gateway_requests_per_minute, open_request_book(settings))
    return held


def rerank_desk(settings: Settings) -> RerankDesk:
    """Return what puts callers' own passages in order; its models are loaded when they are first needed."""
    served = None if settings.gateway_rerank == "off" else partial(gateway_rerankers, settings)
    return RerankDesk(served, seconds=settings.gateway_rerank_seconds, most_passages=settings.gateway_rerank_passages)


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description, with the form of errors and of keys."""
    if app.openapi_schema is None:
        description: dict[str, Any] = with_nulls(FastAPI.openapi(app))
        components = description.setdefault("components", {})
        template = "#/components/schemas/{model}"
        problem = Problem.model_json_schema(ref_template=template)
        schemas = components.setdefault("schemas", {})
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        components["securitySchemes"] = SCHEMES
        description["security"] = [{"key": []}]
        app.openapi_schema = description
    return app.openapi_schema
