"""What a client works with: the ports behind it, whoever made them."""

from collections.abc import Callable
from dataclasses import dataclass

from second_opinion.pipeline.ingest import Policy, Stores
from second_opinion.pipeline.ports import (
    ApiKeyStore,
    CalibrationStore,
    Guard,
    JobStore,
    JudgementStore,
    TraceStore,
    WebhookStore,
    no_guard,
)
from second_opinion.pipeline.submission import QueryDesk
from second_opinion.pipeline.webhook_book import WebhookBook
from second_opinion.schemas.queues import QueueFigures
from second_opinion.workers.bootstrap import callers, ingest_policy, ingest_stores
from second_opinion.workers.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """The connections of one client.

    Attributes:
        stores: Where documents are recorded and read.
        policy: How documents are put into messages.
        close: Gives the connections back.
        admit: Raises `Overloaded` while there is no room for documents.
        queue_figures: Reads how the queues stand.
        call_seconds: What one call may take, however many requests it makes.
    """

    stores: Stores
    policy: Policy
    queries: QueryDesk
    jobs: JobStore
    traces: TraceStore
    judgements: JudgementStore
    calibrations: CalibrationStore
    api_keys: ApiKeyStore
    webhooks: WebhookStore
    webhook_book: WebhookBook
    close: Callable[[], None] = lambda: None
    admit: Guard = no_guard
    queue_figures: Callable[[], list[QueueFigures]] = list
    call_seconds: float = 60.0


def connect(settings: Settings) -> Parts:
    """Return the parts for the servers that the settings name. Nothing is connected before it is used."""
    held = callers(settings)
    return Parts(
        stores=ingest_stores(held.stores, held.queue),
        policy=ingest_policy(settings),
        queries=held.queries,
        jobs=held.jobs,
        traces=held.stores.traces,
        judgements=held.stores.judgements,
        calibrations=held.stores.calibrations,
        api_keys=held.stores.api_keys,
        webhooks=held.stores.webhooks,
        webhook_book=held.webhook_book,
        close=held.close,
        admit=held.admission.documents,
        queue_figures=held.figures.figures,
        call_seconds=settings.call_timeout,
    )
