"""Figures for Prometheus: this process's requests, and the queues as they are when somebody asks."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.queues import QueueFigures

router = APIRouter(tags=["health"])

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
PATIENCE_SECONDS: Final = 5.0
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one gateway process.

    Attributes:
        registry: Where they are registered; of this gateway alone.
        in_progress: Requests that are being answered.
        reranking: Passages of callers that wait to be reranked in this process, or are being read.
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
        self.reranking = Gauge(
            "opinion_gateway_rerank_passages", "Passages that wait to be reranked here.", registry=self.registry
        )
        self._depth = self._of_queue("messages", "Messages that wait in a queue.")
        self._oldest = self._of_queue("oldest_seconds", "Age of the oldest message that waits.")
        self._consumers = self._of_queue("consumers", "Workers that consume a queue.")
        self._unreadable = Gauge(
            "opinion_unreadable_items", "Items of a queue that were no messages.", ["queue"], registry=self.registry
        )
        self._known = Gauge(
            "opinion_queues_known", "1 if the queues could be read for these figures.", registry=self.registry
        )

    def _of_queue(self, name: str, told: str) -> Gauge:
        return Gauge(f"opinion_queue_{name}", told, ["queue"], registry=self.registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        known = method if method in METHODS else "OTHER"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)

    def text(self, *, waiting: int, queues: Sequence[QueueFigures] | None) -> bytes:
        """Return all figures in Prometheus's form.

        Args:
            waiting: How many callers wait.
            queues: How the queues stand; None when that is not known, and then nothing is said of them.
        """
        self._waiting.set(waiting)
        self._known.set(queues is not None)
        for gauge in (self._depth, self._oldest, self._consumers, self._unreadable):
            gauge.clear()
        for queue in queues or ():
            self._depth.labels(queue.name).set(queue.depth)
            self._consumers.labels(queue.name).set(queue.consumers)
            self._oldest.labels(queue.name).set(queue.oldest_seconds or 0.0)
            self._unreadable.labels(queue.name).set(queue.unreadable)
        return generate_latest(self.registry)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(
    request: Request,
    held: Annotated[Gateway, Depends(gateway_held)],
    _principal: Annotated[Principal, Depends(require("admin"))],
) -> Response:
    """Return the figures of this process and of the queues; on loopback without a key, elsewhere to admins."""
    figures: Metrics = request.app.state.metrics
    figures.reranking.set(held.rerank.waiting)
    text = figures.text(waiting=held.waiting.count, queues=await _queues(held))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def _queues(held: Gateway) -> Sequence[QueueFigures] | None:
    """Ask how the queues stand; whoever scrapes waits no longer than this, and is told so."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await held.run(held.parts.queue_figures)
    except (OpinionError, TimeoutError):
        return None
