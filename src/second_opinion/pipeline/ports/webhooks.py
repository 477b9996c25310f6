"""Webhooks, what is still to be told, and the way out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery


@dataclass(frozen=True, slots=True)
class SeenDelivery:
    """A delivery as it was read, with the two numbers that a compare-and-set needs."""

    delivery: WebhookDelivery
    seq_no: int
    primary_term: int


class WebhookStore(Protocol):
    """Webhooks and the outbox of what they are to be told."""

    def create(self, webhook: Webhook) -> None:
        """Keep a new webhook."""

    def listed(self) -> list[Webhook]:
        """Return all webhooks, the oldest first; sees every write."""

    def remove(self, webhook_id: str) -> bool:
        """Remove a webhook; False when there is none. What it was still to be told is dropped when its turn comes."""

    def post(self, deliveries: Sequence[WebhookDelivery]) -> None:
        """Put deliveries into the outbox; one that is there already stays as it is."""

    def due(self, *, now: float, limit: int) -> list[SeenDelivery]:
        """Return what is to be told now, or, if it is parked, dropped; the oldest first; may lag by a second."""

    def swap(self, seen: SeenDelivery, delivery: WebhookDelivery) -> SeenDelivery | None:
        """Replace a delivery that is still as it was seen; None when somebody else was first."""

    def settle(self, seen: SeenDelivery) -> None:
        """Remove a delivery that arrived, or is not to be told any more; a missing one is no error."""

    def delivery(self, delivery_id: str) -> SeenDelivery | None:
        """Return a delivery as it is now; None when it arrived, was dropped, or never was."""

    def deliveries(self, webhook_id: str, *, state: DeliveryState | None, limit: int) -> list[SeenDelivery]:
        """Return what a webhook is still to be told, the newest first; may lag by a second."""


class WebhookSender(Protocol):
    """Sends a request to an address outside."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send a POST request and return the status; redirects are not followed, the answer is not read.

        Raises:
            WebhookFailed: If there was no answer, or the address is one that may not be called.
        """
