"""Who is told when a query ends: recorded before there is a job, wherever and however it is asked."""

from typing import Any

import pytest

from second_opinion.pipeline.submission import QueryDesk
from second_opinion.pipeline.webhook_book import FRESH_SECONDS, WebhookBook
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import InvalidQuery, JobStoreUnavailable, StoreUnavailable, UnknownJob
from second_opinion.schemas.job import JobState
from second_opinion.schemas.query import QueryRequest
from second_opinion.schemas.webhook import Webhook, WebhookDelivery
from second_opinion.testing.webhooks import MemoryWebhooks
from tests.unit.gateway.conftest import MemorySystem, system

__all__ = ["system"]


class CountingWebhooks(MemoryWebhooks):
    """A store that counts how often it is read, and lets something happen meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.meanwhile: Any = lambda: None

    def listed(self) -> list[Webhook]:
        """Return all webhooks."""
        self.reads += 1
        found = super().listed()
        self.meanwhile()
        return found


@pytest.fixture
def heard(system: MemorySystem) -> Webhook:
    """A webhook of the collection `handbook`."""
    system.client.set_collection("handbook")
    system.client.set_collection("secrets")
    return a_webhook(system, "handbook")


def a_webhook(system: MemorySystem, collection: str) -> Webhook:
    """Make a webhook."""
    made = Webhook.make("https://example.com/x", collection, created_by="local", now=system.stores.clock.now())
    system.parts.webhooks.create(made)
    system.parts.webhook_book.forget()
    return made


def told(system: MemorySystem, webhook: Webhook) -> list[str]:
    """Return the jobs that a webhook is to be told of."""
    found = system.parts.webhooks.deliveries(webhook.id, state=None, limit=99)
    return [seen.delivery.job_id for seen in found]


def test_a_query_of_any_caller_is_recorded(system: MemorySystem, heard: Webhook) -> None:
    """The client beside the servers is none of the gateway's; other collections' listeners hear nothing of it."""
    other = a_webhook(system, "secrets")
    job = system.client.submit_query("who approves refunds?", collection="handbook")
    assert told(system, heard) == [job.job_id]
    assert told(system, other) == []


def test_it_is_recorded_before_there_is_a_job(
    system: MemorySystem, heard: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a caller that dies in between loses nothing; what names no job is dropped when its turn comes."""

    def away(*_arguments: Any, **_named: Any) -> None:
        raise JobStoreUnavailable("away")

    monkeypatch.setattr(system.jobs, "create", away)
    with pytest.raises(JobStoreUnavailable):
        system.client.submit_query("who approves refunds?", collection="handbook")
    assert len(told(system, heard)) == 1


def test_a_query_that_cannot_be_recorded_is_not_asked(
    system: MemorySystem, heard: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a listener would miss its end."""
    monkeypatch.setattr(system.parts.webhooks, "post", store_away)
    with pytest.raises(StoreUnavailable):
        system.client.submit_query("who approves refunds?", collection=heard.collection, job_id="mine")
    with pytest.raises(UnknownJob):
        system.client.result("mine")


def test_one_that_was_asked_before_is_not_told_of_again(system: MemorySystem, heard: Webhook) -> None:
    """Asked again under its name, after its end was told, it stays told."""
    ask = QueryRequest(text="who approves refunds?", collection="handbook", job_id="mine")
    system.parts.queries.submit(ask)
    seen = system.parts.webhooks.delivery(f"{heard.id}.mine")
    assert seen is not None
    system.parts.webhooks.settle(seen)
    system.parts.queries.submit(ask)
    assert told(system, heard) == []


def test_one_that_is_rejected_is_told_of(system: MemorySystem, heard: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent by task name ends as a failed job, whether or not it could be recorded who is told."""
    error = InvalidQuery("no text").info()
    system.parts.queries.reject({"job_id": "named", "collection": "handbook", "text": 1}, error)
    assert told(system, heard) == ["named"]
    monkeypatch.setattr(system.parts.webhooks, "post", store_away)
    system.parts.queries.reject({"job_id": "other", "collection": "handbook"}, error)
    assert system.client.result("other").state is JobState.FAILED
    assert told(system, heard) == ["named"]


def test_without_webhooks_nothing_is_recorded(system: MemorySystem) -> None:
    """Nor is a named query looked for."""
    system.client.set_collection("handbook")
    system.client.submit_query("who approves refunds?", collection="handbook", job_id="mine")
    assert system.parts.webhooks.due(now=float("inf"), limit=9) == []
    stores = system.stores
    desk = QueryDesk(
        collections=stores.collections,
        jobs=system.jobs,
        queue=system.queue,
        ids=stores.ids,
        clock=stores.clock,
        defaults=QueryDefaults(),
    )
    assert desk.submit(QueryRequest(text="who?", collection="handbook")).job_id


def test_the_list_is_read_again_after_seconds_or_when_it_changed(system: MemorySystem) -> None:
    """Not for each query: asking costs no request of Elasticsearch that is not needed."""
    store, clock = CountingWebhooks(), system.stores.clock
    book = WebhookBook(store, clock)
    assert [book.of("handbook") for _ in range(9)] == [[]] * 9
    assert store.reads == 1
    store.create(Webhook.make("https://example.com/x", "handbook", created_by="local", now=clock.now()))
    book.forget()
    assert len(book.of("handbook")) == 1
    clock.advance(FRESH_SECONDS + 1.0)  # type: ignore[attr-defined] # a clock that tests move
    assert (len(book.of("handbook")), store.reads) == (1, 3)


def test_what_is_read_while_it_changes_is_not_kept(system: MemorySystem) -> None:
    """A webhook that is made while the list is read counts for the next query."""
    store, clock = CountingWebhooks(), system.stores.clock
    book = WebhookBook(store, clock)
    made = Webhook.make("https://example.com/x", "handbook", created_by="local", now=clock.now())

    def change() -> None:
        store.meanwhile = lambda: None
        store.create(made)
        book.forget()

    store.meanwhile = change
    assert book.of("handbook") == []
    assert book.of("handbook") == [made]


def store_away(_deliveries: list[WebhookDelivery]) -> None:
    """Be a store that does not answer."""
    raise StoreUnavailable("away")
