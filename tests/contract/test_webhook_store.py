"""What every store of webhooks does: the double and Elasticsearch."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchWebhooks, IndexNames
from second_opinion.pipeline.ports import WebhookStore
from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery
from second_opinion.testing.webhooks import MemoryWebhooks

NOW = 1_700_000_000.0


@dataclass
class Kept:
    """A store, and a way to make its listings current."""

    webhooks: WebhookStore
    settle: Callable[[], object]


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def kept(request: pytest.FixtureRequest) -> Kept:
    """A store of either kind."""
    if request.param == "double":
        return Kept(MemoryWebhooks(), lambda: None)
    connection: Connection = request.getfixturevalue("elasticsearch")
    names: IndexNames = request.getfixturevalue("names")
    return Kept(
        ElasticsearchWebhooks(connection, names),
        lambda: connection.writes.indices.refresh(index=names.webhook_outbox, ignore_unavailable=True),
    )


def a_webhook(number: int = 1) -> Webhook:
    """Return a webhook."""
    made = Webhook.make(f"https://example.com/{number}", "handbook", created_by="local", now=NOW + number)
    return made.model_copy(update={"id": f"hook-{number}"})


def test_webhooks_come_and_go(kept: Kept) -> None:
    """They are listed at once, the oldest first; one that is gone cannot be removed again."""
    assert kept.webhooks.listed() == []
    for number in (2, 1):
        kept.webhooks.create(a_webhook(number).model_copy(update={"secret": "whsec_s"}))
    assert [(one.id, one.secret) for one in kept.webhooks.listed()] == [("hook-1", "whsec_s"), ("hook-2", "whsec_s")]
    assert kept.webhooks.remove("hook-1")
    assert not kept.webhooks.remove("hook-1")
    assert [one.id for one in kept.webhooks.listed()] == ["hook-2"]


def test_what_is_due_comes_oldest_first(kept: Kept) -> None:
    """Neither what is to be told later, nor what is parked and kept, nor more than was asked for."""
    assert kept.webhooks.due(now=NOW, limit=5) == []
    for number in range(4):
        kept.webhooks.post([WebhookDelivery.of(a_webhook(), f"job-{number}", now=NOW - number)])
    later = WebhookDelivery.of(a_webhook(), "later", now=NOW).model_copy(update={"not_before": NOW + 9})
    parked = later.model_copy(update={"id": "hook-1.parked", "job_id": "parked", "state": DeliveryState.PARKED})
    kept.webhooks.post([later, parked])
    kept.settle()
    assert [seen.delivery.job_id for seen in kept.webhooks.due(now=NOW, limit=3)] == ["job-3", "job-2", "job-1"]
    listed = kept.webhooks.deliveries("hook-1", state=DeliveryState.PARKED, limit=9)
    assert [seen.delivery.job_id for seen in listed] == ["parked"]
    assert "parked" in [seen.delivery.job_id for seen in kept.webhooks.due(now=NOW + 9, limit=9)], "to be dropped"
    assert len(kept.webhooks.deliveries("hook-1", state=None, limit=9)) == 6
    assert kept.webhooks.deliveries("hook-2", state=None, limit=9) == []


def test_of_two_who_claim_one_wins(kept: Kept) -> None:
    """A delivery is told by whoever moved it first; the other goes away empty."""
    kept.webhooks.post([WebhookDelivery.of(a_webhook(), "job-1", now=NOW)])
    kept.settle()
    (seen,) = kept.webhooks.due(now=NOW, limit=5)
    claim = seen.delivery.model_copy(update={"not_before": NOW + 60.0})
    first = kept.webhooks.swap(seen, claim)
    assert first is not None
    assert kept.webhooks.swap(seen, claim) is None
    again = kept.webhooks.swap(first, claim.model_copy(update={"attempts": 1}))
    assert again is not None
    assert kept.webhooks.delivery("hook-1.job-1") == again, "at once, not after a second"
    kept.webhooks.settle(again)
    kept.webhooks.settle(again)
    assert kept.webhooks.delivery("hook-1.job-1") is None
    kept.settle()
    assert kept.webhooks.due(now=NOW + 99.0, limit=5) == []
    assert kept.webhooks.swap(again, claim) is None


def test_what_is_listed_can_be_swapped(kept: Kept) -> None:
    """A listing tells how each delivery was seen, so that a retry cannot undo what another has done since."""
    assert kept.webhooks.delivery("hook-1.job-1") is None
    kept.webhooks.post([WebhookDelivery.of(a_webhook(), "job-1", now=NOW)])
    kept.settle()
    (seen,) = kept.webhooks.deliveries("hook-1", state=None, limit=9)
    told = seen.delivery.model_copy(update={"body": '{"a":1}', "state": DeliveryState.PARKED})
    assert kept.webhooks.swap(seen, told) is not None
    assert kept.webhooks.swap(seen, seen.delivery) is None
    kept.settle()
    assert [one.delivery for one in kept.webhooks.deliveries("hook-1", state=None, limit=9)] == [told]


def test_the_same_delivery_is_posted_once(kept: Kept) -> None:
    """A request that is sent again does not begin anew what was tried before."""
    told = WebhookDelivery.of(a_webhook(), "job-1", now=NOW)
    kept.webhooks.post([])
    kept.webhooks.post([told.model_copy(update={"attempts": 3})])
    kept.webhooks.post([told, WebhookDelivery.of(a_webhook(2), "job-1", now=NOW)])
    kept.settle()
    found = kept.webhooks.due(now=NOW, limit=5)
    assert sorted((seen.delivery.id, seen.delivery.attempts) for seen in found) == [
        ("hook-1.job-1", 3),
        ("hook-2.job-1", 0),
    ]
