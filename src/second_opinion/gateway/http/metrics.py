"""Figures for Prometheus: this process's requests, and the queues as they are when somebody asks."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway

router = APIRouter(tags=["health"])

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one gateway process.

    Attributes:
        registry: Where they are registered; of this gateway alone.
        in_progress: Requests that are being answered.
    """

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self._requests = Counter(
            "opinion_gateway_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "opinion_gateway_request_seconds",
            "Seconds from the request to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "opinion_gateway_requests_in_progress", "Requests being answered.", registry=self.registry
        )
        self._waiting = Gauge("opinion_gateway_waiting_callers", "Callers that wait.", registry=self.registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        known = method if method in METHODS else "OTHER"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)

    def text(self, *, waiting: int) -> bytes:
        """Return all figures in Prometheus's form."""
        self._waiting.set(waiting)
        return generate_latest(self.registry)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(
    request: Request,
    held: Annotated[Gateway, Depends(gateway)],
    _principal: Annotated[Principal, Depends(require("admin"))],
) -> Response:
    """Return the figures of this process; on loopback without a key, elsewhere to admins."""
    figures: Metrics = request.app.state.metrics
    return Response(figures.text(waiting=held.waiting.count), media_type=CONTENT_TYPE_LATEST)
