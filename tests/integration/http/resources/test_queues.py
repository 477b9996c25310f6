"""How the queues stand, as an operator sees it over HTTP."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from redis import Redis

from second_opinion.gateway.doctor.findings import Finding, Level
from second_opinion.gateway.doctor.queues import check_queues
from second_opinion.workers.envelopes import UNREADABLE
from tests.acceptance.conftest import System, wait_until
from tests.integration.http.conftest import GatewayRig

pytestmark = pytest.mark.stack


async def figures(api: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Return the figures by queue."""
    answer = await api.get("/v1/queues")
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["queues"]}


@pytest.fixture
def broker(shared_system: System) -> Any:
    """The broker's database, without messages."""
    client = Redis.from_url(shared_system.environment["OPINION_BROKER_URL"])
    queues = ("intake", "extract", "index", "retrieve", "rerank", "maintenance")
    client.delete(*queues)
    yield client
    client.delete(*queues)
    client.close()


async def test_what_waits_is_told_with_its_age(
    gateway: GatewayRig, api: httpx.AsyncClient, broker: "Redis[Any]"
) -> None:
    """Depth and age are those of what was sent; a queue without workers says when the last one was seen."""
    body = {"id": "aged", "collection": "handbook", "text": f"x {time.time()}"}
    assert (await api.post("/v1/documents", json=body)).status_code == 202
    for _ in range(3):
        await api.post("/v1/queries", json={"text": "who?", "collection": "handbook"})
    await asyncio.sleep(1.0)
    found = await figures(api)
    assert list(found) == ["intake", "extract", "index", "retrieve", "rerank", "maintenance"]
    assert {name: one["depth"] for name, one in found.items() if one["depth"]} == {"index": 1, "retrieve": 3}
    assert 0.9 < found["index"]["oldest_seconds"] < 30.0
    assert 0.9 < found["retrieve"]["oldest_seconds"] < 30.0
    assert (found["rerank"]["oldest_seconds"], found["rerank"]["drain_seconds"]) == (None, 0.0)
    assert (found["retrieve"]["drain_seconds"], found["retrieve"]["consumers"]) == (None, 0)


async def test_the_time_to_drain_follows_the_pace(
    gateway: GatewayRig, api: httpx.AsyncClient, broker: "Redis[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that lost half of what waited is empty in about as long again."""
    monkeypatch.setattr("second_opinion.workers.figures.LEAST_SECONDS", 0.5)
    for _ in range(8):
        await api.post("/v1/queries", json={"text": "who?", "collection": "handbook"})
    assert (await figures(api))["retrieve"]["drain_seconds"] is None
    await asyncio.sleep(1.5)
    broker.ltrim("retrieve", 0, 3)
    found = (await figures(api))["retrieve"]
    assert found["depth"] == 4
    assert 1.0 < found["drain_seconds"] < 5.0


@pytest.mark.parametrize("junk", [b"nonsense", b'{"body": "x"}', b'{"body": "bnVsbA=="}', b'{"body": "W1tdXQ=="}'])
async def test_junk_in_a_queue_is_only_counted(api: httpx.AsyncClient, broker: "Redis[Any]", junk: bytes) -> None:
    """Anybody can push anything into a queue; the figures are told all the same."""
    broker.lpush("index", junk)
    found = (await figures(api))["index"]
    assert (found["depth"], found["oldest_seconds"]) == (1, None)


async def test_a_worker_is_seen_while_it_consumes(
    shared_system: System, api: httpx.AsyncClient, broker: "Redis[Any]"
) -> None:
    """A real worker enters itself and goes on doing so; other queues stay without one."""
    (worker,) = shared_system.start("extract")
    try:
        wait_until(lambda: last_seen(shared_system) > 0.0, 30.0)
        first = (await figures(api))["extract"]
        assert (first["consumers"], (await figures(api))["intake"]["consumers"]) == (1, 0)
        wait_until(lambda: last_seen(shared_system) > first["last_seen"], 30.0)
    finally:
        worker.stop()
        shared_system.workers.remove(worker)


async def test_what_was_no_message_is_counted_for_operators(
    shared_system: System, api: httpx.AsyncClient, broker: "Redis[Any]"
) -> None:
    """A real worker drops it; figures, metrics and the doctor tell of it by queue until the count is reset."""
    broker.delete(UNREADABLE)
    assert warned(shared_system) == {}
    text = (await api.get("/metrics")).text
    assert 'opinion_unreadable_items{queue="extract"} 0.0' in text
    (worker,) = shared_system.start("extract")
    try:
        broker.lpush("extract", "a word", '{"body": 7}')
        wait_until(lambda: broker.hget(UNREADABLE, "extract") == b"2", 30.0)
        found = await figures(api)
        assert {name: one["unreadable"] for name, one in found.items() if one["unreadable"]} == {"extract": 2}
        assert 'opinion_unreadable_items{queue="extract"} 2.0' in (await api.get("/metrics")).text
        (told,) = warned(shared_system).values()
        assert (told.part, told.level) == ("queue extract", Level.WARNING)
        assert told.told.startswith("2 items were no message")
        assert "opinion logs extract" in told.hint
        assert worker.log.count("message_unreadable") == 2
        command = told.hint.rpartition(": ")[2].split()
        assert broker.execute_command(*command) == 1, "the hint's own command resets it"
        assert warned(shared_system) == {}
    finally:
        broker.delete(UNREADABLE)
        worker.stop()
        shared_system.workers.remove(worker)


def warned(system: System) -> dict[str, Finding]:
    """Return what the doctor says of items that were no messages, by queue."""
    return {found.part: found for found in check_queues(system.settings) if "no message" in found.told}


def last_seen(system: System) -> float:
    """Return when an extract worker was last seen."""
    client = system.client()
    (found,) = [one for one in client.parts.queue_figures() if one.name == "extract"]
    client.close()
    return found.last_seen or 0.0


async def test_only_admins_see_the_queues(gateway: GatewayRig) -> None:
    """They tell of all collections at once."""
    async with gateway.caller(gateway.key("query", "ingest").token) as caller:
        assert (await caller.get("/v1/queues")).status_code == 403
