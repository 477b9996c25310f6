"""Webhooks and their outbox in memory, and a way out that leads nowhere."""

from collections.abc import Mapping, Sequence
from itertools import count
from threading import Lock

from second_opinion.pipeline.ports import SeenDelivery
from second_opinion.schemas.errors import WebhookFailed
from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery


class MemoryWebhooks:
    """A `WebhookStore` in this process."""

    def __init__(self) -> None:
        self._webhooks: dict[str, Webhook] = {}
        self._outbox: dict[str, SeenDelivery] = {}
        self._numbers = count(1)
        self._lock = Lock()

    def create(self, webhook: Webhook) -> None:
        """Keep a new webhook."""
        self._webhooks[webhook.id] = webhook

    def listed(self) -> list[Webhook]:
        """Return all webhooks, the oldest first."""
        return sorted(self._webhooks.values(), key=lambda one: one.created_at)

    def remove(self, webhook_id: str) -> bool:
        """Remove a webhook; False when there is none."""
        return self._webhooks.pop(webhook_id, None) is not None

    def post(self, deliveries: Sequence[WebhookDelivery]) -> None:
        """Put deliveries into the outbox; one that is there already stays as it is."""
        with self._lock:
            for one in deliveries:
                self._outbox.setdefault(one.id, SeenDelivery(one, next(self._numbers), 1))

    def due(self, *, now: float, limit: int) -> list[SeenDelivery]:
        """Return what is to be told now, or, if it is parked, dropped; the oldest first."""
        with self._lock:
            ripe = [seen for seen in self._outbox.values() if seen.delivery.not_before <= now]
        return sorted(ripe, key=lambda seen: seen.delivery.not_before)[:limit]

    def swap(self, seen: SeenDelivery, delivery: WebhookDelivery) -> SeenDelivery | None:
        """Replace a delivery that is still as it was seen; None when somebody else was first."""
        with self._lock:
            if self._outbox.get(delivery.id) != seen:
                return None
            self._outbox[delivery.id] = SeenDelivery(delivery, next(self._numbers), 1)
            return self._outbox[delivery.id]

    def settle(self, seen: SeenDelivery) -> None:
        """Remove a delivery that arrived, or is not to be told any more; a missing one is no error."""
        with self._lock:
            self._outbox.pop(seen.delivery.id, None)

    def delivery(self, delivery_id: str) -> SeenDelivery | None:
        """Return a delivery as it is now; None when it arrived, was dropped, or never was."""
        with self._lock:
            return self._outbox.get(delivery_id)

    def deliveries(self, webhook_id: str, *, state: DeliveryState | None, limit: int) -> list[SeenDelivery]:
        """Return what a webhook is still to be told, the newest first."""
        with self._lock:
            found = [seen for seen in self._outbox.values() if seen.delivery.webhook_id == webhook_id]
        chosen = [seen for seen in found if state in {None, seen.delivery.state}]
        return sorted(chosen, key=lambda seen: -seen.delivery.created_at)[:limit]


class StubSender:
    """A `WebhookSender` that keeps what is sent, and answers with the statuses it was given, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.sent: list[tuple[str, dict[str, str], bytes]] = []
        self._statuses = list(statuses) or [200]

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Keep a request; a status of 0 is no answer."""
        self.sent.append((url, dict(headers), body))
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if status == 0:
            raise WebhookFailed("no answer")
        return status
