"""Webhooks and their outbox in Elasticsearch: deliveries are created once, and compared-and-set from then on."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from elasticsearch import ConflictError, NotFoundError

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk, to_json
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import DELIVERY_FIELDS, WEBHOOK_FIELDS, IndexNames
from second_opinion.pipeline.adapters.elasticsearch.system import SystemIndex
from second_opinion.pipeline.ports import SeenDelivery
from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery

MOST_WEBHOOKS: Final = 1_000
CONFLICT: Final = 409


class ElasticsearchWebhooks:
    """Implements `pipeline.ports.WebhookStore`."""

    def __init__(self, connection: Connection, names: IndexNames) -> None:
        self._connection = connection
        self._webhooks = SystemIndex(connection, names.webhooks, WEBHOOK_FIELDS)
        self._outbox = SystemIndex(connection, names.webhook_outbox, DELIVERY_FIELDS)

    def create(self, webhook: Webhook) -> None:
        """Keep a new webhook."""
        with store_errors():
            self._connection.writes.create(
                index=self._webhooks.ready(), id=webhook.id, document=webhook.model_dump(mode="json")
            )

    def listed(self) -> list[Webhook]:
        """Return all webhooks, the oldest first; sees every write."""
        with store_errors():
            self._connection.writes.indices.refresh(index=self._webhooks.name, ignore_unavailable=True)
        hits = self._search(self._webhooks.name, {"match_all": {}}, [{"created_at": "asc"}], MOST_WEBHOOKS)
        return [Webhook.model_validate(hit["_source"]) for hit in hits]

    def remove(self, webhook_id: str) -> bool:
        """Remove a webhook; False when there is none."""
        with store_errors():
            try:
                self._connection.writes.delete(index=self._webhooks.name, id=webhook_id)
            except NotFoundError:
                return False
        return True

    def post(self, deliveries: Sequence[WebhookDelivery]) -> None:
        """Put deliveries into the outbox; one that is there already stays as it is."""
        if not deliveries:
            return
        actions = [Action("create", {"_id": one.id}, to_json(one.model_dump(mode="json"))) for one in deliveries]
        for outcome in run_bulk(self._connection, self._outbox.ready(), actions):
            if outcome.error is not None and outcome.status != CONFLICT:
                raise outcome.error

    def due(self, *, now: float, limit: int) -> list[SeenDelivery]:
        """Return what is to be told now, or, if it is parked, dropped; the oldest first; may lag by a second."""
        wanted = {"range": {"not_before": {"lte": now}}}
        found = self._search(self._outbox.name, {"bool": {"filter": wanted}}, [{"not_before": "asc"}], limit)
        return [_seen(hit) for hit in found]

    def swap(self, seen: SeenDelivery, delivery: WebhookDelivery) -> SeenDelivery | None:
        """Replace a delivery that is still as it was seen; None when somebody else was first."""
        with store_errors():
            try:
                answer = self._connection.writes.index(
                    index=self._outbox.name,
                    id=delivery.id,
                    document=delivery.model_dump(mode="json"),
                    if_seq_no=seen.seq_no,
                    if_primary_term=seen.primary_term,
                )
            except ConflictError:
                return None
        return SeenDelivery(delivery, int(answer["_seq_no"]), int(answer["_primary_term"]))

    def settle(self, seen: SeenDelivery) -> None:
        """Remove a delivery that arrived, or is not to be told any more; a missing one is no error."""
        with store_errors():
            try:
                self._connection.writes.delete(index=self._outbox.name, id=seen.delivery.id)
            except NotFoundError:
                return

    def delivery(self, delivery_id: str) -> SeenDelivery | None:
        """Return a delivery as it is now; None when it arrived, was dropped, or never was."""
        with store_errors():
            try:
                answer = self._connection.reads.get(index=self._outbox.name, id=delivery_id)
            except NotFoundError:
                return None
        return _seen(answer.body)

    def deliveries(self, webhook_id: str, *, state: DeliveryState | None, limit: int) -> list[SeenDelivery]:
        """Return what a webhook is still to be told, the newest first; may lag by a second."""
        wanted: list[dict[str, Any]] = [{"term": {"webhook_id": webhook_id}}]
        if state is not None:
            wanted.append({"term": {"state": state.value}})
        found = self._search(self._outbox.name, {"bool": {"filter": wanted}}, [{"created_at": "desc"}], limit)
        return [_seen(hit) for hit in found]

    def _search(
        self, index: str, query: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], size: int
    ) -> list[Mapping[str, Any]]:
        with store_errors():
            answer = self._connection.reads.search(
                index=index,
                query=query,
                sort=sort,
                size=size,
                seq_no_primary_term=True,
                track_total_hits=False,
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        return list(answer["hits"]["hits"])


def _seen(hit: Mapping[str, Any]) -> SeenDelivery:
    delivery = WebhookDelivery.model_validate(hit["_source"])
    return SeenDelivery(delivery, int(hit["_seq_no"]), int(hit["_primary_term"]))
