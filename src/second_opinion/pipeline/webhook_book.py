"""Who is to be told when a query ends, and recording it before the query begins, wherever it is asked."""

from typing import Final

from second_opinion.pipeline.ports import Clock, WebhookStore
from second_opinion.schemas.webhook import Webhook, WebhookDelivery

FRESH_SECONDS: Final = 5.0
"""How old the list of webhooks may be."""


class WebhookBook:
    """Knows the webhooks, and puts what they are to be told into their outbox. Safe to share between threads.

    Args:
        store: The webhooks and their outbox.
    """

    def __init__(self, store: WebhookStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: list[Webhook] = []
        self._known_at = float("-inf")
        self._forgotten = 0

    def known(self) -> list[Webhook]:
        """Return all webhooks; one that was made or removed in another process counts after some seconds.

        Raises:
            StoreUnavailable: If they cannot be read.
        """
        now = self._clock.now()
        if now - self._known_at <= FRESH_SECONDS:
            return self._known
        # Read without a lock: threads that wait for one another would add up their timeouts.
        before, known = self._forgotten, self._store.listed()
        if before == self._forgotten:
            self._known, self._known_at = known, now
        return known

    def of(self, collection: str) -> list[Webhook]:
        """Return the webhooks of a collection.

        Raises:
            StoreUnavailable: If they cannot be read.
        """
        return [one for one in self.known() if one.collection == collection]

    def forget(self) -> None:
        """Look the webhooks up again the next time they are needed."""
        self._forgotten += 1
        self._known_at = float("-inf")

    def record(self, hearing: list[Webhook], job_id: str) -> None:
        """Record that webhooks are to be told of a job that is about to be created.

        Raises:
            StoreUnavailable: If it cannot be recorded; nobody is told then.
        """
        now = self._clock.now()
        self._store.post([WebhookDelivery.of(one, job_id, now=now) for one in hearing])
