"""Webhooks: told over a real connection when a query ends, and never led where they must not go."""

import asyncio
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
import redis
from celery import Celery

from second_opinion import Client
from second_opinion.gateway.http import webhooks
from second_opinion.pipeline.adapters.webhook_sender import HttpWebhookSender
from second_opinion.schemas.errors import UnknownJob, WebhookFailed
from second_opinion.schemas.job import JobState
from second_opinion.testing.builders import a_result
from second_opinion.workers.routing import SUBMIT_QUERY
from tests.acceptance.conftest import System, wait_until
from tests.conftest import Servers
from tests.integration.http.conftest import GatewayRig, gateway_on
from tests.integration.http.resources.conftest import two_collections

pytestmark = pytest.mark.stack


@dataclass
class Receiver:
    """A server that hears webhooks.

    Attributes:
        answers: Statuses of the next answers; after these 204.
    """

    port: int = 0
    heard: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(made.answers.pop(0) if made.answers else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


async def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a real server's thread tells nobody
            await asyncio.sleep(0.05)


async def register(api: httpx.AsyncClient, url: str, collection: str = "handbook") -> dict[str, Any]:
    """Make a webhook."""
    answer = await api.post("/v1/webhooks", json={"url": url, "collection": collection})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def ask(api: httpx.AsyncClient, collection: str = "handbook", **headers: str) -> str:
    """Submit a question and return its job's id."""
    body = {"text": "who approves refunds?", "collection": collection}
    answer = await api.post("/v1/queries", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def known(client: Client, job_id: str) -> bool:
    """Return whether there is a job of this id."""
    try:
        client.result(job_id)
    except UnknownJob:
        return False
    return True


def finish(gateway: GatewayRig, job_id: str) -> None:
    """End a job as a worker does."""
    gateway.client.parts.jobs.finish(job_id, JobState.DONE, at=time.time(), result=a_result(job_id))


@pytest.fixture(scope="module")
def own_system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Indices of this module: other gateways of the shared ones would tell its webhooks, too."""
    with two_collections(servers, tmp_path_factory.mktemp("webhooks")) as made:
        yield made


@pytest.fixture
def bare_system(own_system: System) -> Iterator[System]:
    """Those indices; keys and webhooks that a test makes are gone behind it."""
    yield own_system
    client = own_system.client()
    for key in client.parts.api_keys.listed():
        client.parts.api_keys.revoke(key.id, at=0.0)
    for one in client.parts.webhooks.listed():
        client.parts.webhooks.remove(one.id)
    client.close()


async def test_an_address_is_told_when_a_query_ends(bare_system: System, receiver: Receiver) -> None:
    """Once, signed, and only of its own collection; what has arrived is not kept."""
    async with gateway_on(bare_system, webhook_allow_private=True) as gateway, gateway.caller() as api:
        made = await register(api, receiver.url)
        assert made["secret"].startswith("whsec_")
        assert "secret" not in json.dumps((await api.get("/v1/webhooks")).json())
        other = await ask(api, "secrets")
        job_id = await ask(api)
        finish(gateway, other)
        await asyncio.sleep(2.5)
        assert receiver.heard == []
        finish(gateway, job_id)
        await until(lambda: receiver.heard)
        ((path, headers, body),) = receiver.heard
        told = json.loads(body)
        assert (path, told["job_id"], told["state"]) == ("/hook", job_id, "done")
        moment, digest = (part.split("=", 1)[1] for part in headers["webhook-signature"].split(","))
        signed = hmac.new(made["secret"].encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(digest, signed)
        assert headers["webhook-id"] == told["delivery"] == f"{made['webhook']['id']}.{job_id}"
        left = f"/v1/webhooks/{made['webhook']['id']}/deliveries"
        await asyncio.sleep(1.5)
        assert (await api.get(left)).json() == {"deliveries": []}
        await asyncio.sleep(2.0)
        assert len(receiver.heard) == 1


async def test_it_is_told_of_queries_that_were_asked_elsewhere(bare_system: System, receiver: Receiver) -> None:
    """By the client beside the servers, and by task name through a real intake worker: nobody asked the gateway."""
    async with gateway_on(bare_system, webhook_allow_private=True) as gateway, gateway.caller() as api:
        made = (await register(api, receiver.url))["webhook"]["id"]
        await asyncio.to_thread(bare_system.start, "intake")
        question = {"text": "who approves refunds?", "collection": "handbook"}
        with bare_system.client() as client, Celery(broker=bare_system.environment["OPINION_BROKER_URL"]) as producer:
            beside = client.submit_query(**question).job_id
            producer.send_task(SUBMIT_QUERY, queue="intake", args=[{"query": {**question, "job_id": "by-name"}}])
            unknown = {"query": {**question, "filters": 7, "job_id": "rejected"}}
            producer.send_task(SUBMIT_QUERY, queue="intake", args=[unknown])
            await asyncio.to_thread(wait_until, lambda: known(client, "by-name"), 60.0)
        for job_id in (beside, "by-name"):
            finish(gateway, job_id)
        await until(lambda: len(receiver.heard) == 3, 60.0)
        told = {headers["webhook-id"]: json.loads(body)["state"] for _, headers, body in receiver.heard}
        assert told == {f"{made}.{beside}": "done", f"{made}.by-name": "done", f"{made}.rejected": "failed"}


async def test_what_fails_is_tried_again_and_redirects_are_not_followed(
    bare_system: System, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt carries the same id; until it arrives, the last error can be read."""
    monkeypatch.setattr("second_opinion.pipeline.webhooks.FIRST_PAUSE", 0.3)
    receiver.answers += [500, 302]
    async with gateway_on(bare_system, webhook_allow_private=True) as gateway, gateway.caller() as api:
        made = await register(api, receiver.url)
        job_id = await ask(api, **{"Idempotency-Key": made["webhook"]["id"]})
        assert await ask(api, **{"Idempotency-Key": made["webhook"]["id"]}) == job_id
        finish(gateway, job_id)
        await until(lambda: len(receiver.heard) == 3)
        assert {headers["webhook-id"] for _, headers, _ in receiver.heard} == {f"{made['webhook']['id']}.{job_id}"}
        assert {path for path, _, _ in receiver.heard} == {"/hook"}


async def test_what_was_given_up_is_told_when_it_is_retried(
    bare_system: System, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same words, even when the job is long gone; one by one or all at once, and nothing that was heard."""
    monkeypatch.setattr("second_opinion.pipeline.webhooks.GIVE_UP_SECONDS", 0.0)
    receiver.answers += [500, 503, 500]
    async with gateway_on(bare_system, webhook_allow_private=True) as gateway, gateway.caller() as api:
        made = (await register(api, receiver.url))["webhook"]["id"]
        jobs = [await ask(api) for _ in range(3)]
        for job_id in jobs:
            finish(gateway, job_id)
        parked = await parked_of(api, made, 3)
        assert {one["error"] for one in parked} == {"the answer was 500", "the answer was 503"}
        with redis.Redis.from_url(bare_system.environment["OPINION_JOBS_URL"]) as database:
            database.flushdb()
        assert (await api.get(f"/v1/queries/{jobs[0]}")).status_code == 404
        path = f"/v1/webhooks/{made}/deliveries/{made}.{jobs[0]}/retry"
        begun = (await api.post(path)).json()
        assert (begun["state"], begun["attempts"], begun["created_at"] < begun["retried_at"]) == ("waiting", 0, True)
        await until(lambda: len(receiver.heard) == 4)
        assert (await api.post(f"/v1/webhooks/{made}/deliveries/retry")).json() == {"retried": 2}
        await until(lambda: len(receiver.heard) == 6)
        first, again = bodies(receiver.heard[:3]), bodies(receiver.heard[3:])
        assert first == again
        assert set(first) == {f"{made}.{one}" for one in jobs}
        await parked_of(api, made, 0)
        gone = await api.post(path)
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_delivery")
        assert (await api.post(f"/v1/webhooks/{made}/deliveries/retry")).json() == {"retried": 0}


async def test_a_retry_leaves_alone_what_is_tried_by_itself(bare_system: System, receiver: Receiver) -> None:
    """What waits stays as it is; what another webhook is to be told is not this one's."""
    receiver.answers += [500] * 99
    async with gateway_on(bare_system, webhook_allow_private=True) as gateway, gateway.caller() as api:
        made, other = [(await register(api, receiver.url))["webhook"]["id"] for _ in range(2)]
        finish(gateway, job_id := await ask(api))
        await until(lambda: len(receiver.heard) >= 2)
        own = f"/v1/webhooks/{made}/deliveries/{made}.{job_id}/retry"
        waiting = (await api.post(own)).json()
        assert (waiting["state"], waiting["retried_at"]) == ("waiting", None)
        assert (await api.post(own.replace(f"/{made}.", f"/{other}."))).status_code == 404
        assert (await api.post(f"/v1/webhooks/{made}/deliveries/retry")).json() == {"retried": 0}


async def parked_of(api: httpx.AsyncClient, webhook_id: str, count: int) -> list[dict[str, Any]]:
    """Wait until a webhook has so many parked deliveries, and return them; lists are a second behind."""
    async with asyncio.timeout(30.0):
        while True:
            answer = await api.get(f"/v1/webhooks/{webhook_id}/deliveries", params={"state": "parked"})
            found: list[dict[str, Any]] = answer.json()["deliveries"]
            if len(found) == count:
                return found
            await asyncio.sleep(0.2)


def bodies(heard: list[tuple[str, dict[str, str], bytes]]) -> dict[str, bytes]:
    """Return what was told, by delivery."""
    return {headers["webhook-id"]: body for _, headers, body in heard}


async def test_a_gateway_that_ends_leaves_it_to_the_next(
    bare_system: System, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was recorded is told after a restart; a webhook that was removed meanwhile is told nothing."""
    monkeypatch.setattr(webhooks, "CLAIM_SECONDS", 2.0)
    async with gateway_on(bare_system, webhook_allow_private=True) as gateway, gateway.caller() as api:
        kept, removed = await register(api, receiver.url), await register(api, receiver.url)
        job_id = await ask(api)
        await asyncio.sleep(2.0)
    async with gateway_on(bare_system, webhook_allow_private=True) as gateway, gateway.caller() as api:
        assert (await api.delete(f"/v1/webhooks/{removed['webhook']['id']}")).status_code == 204
        finish(gateway, job_id)
        await until(lambda: receiver.heard)
        await asyncio.sleep(2.0)
        told = [headers["webhook-id"] for _, headers, _ in receiver.heard]
        assert told == [f"{kept['webhook']['id']}.{job_id}"]


async def test_addresses_of_this_machine_are_refused(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """When they are registered, if that can be seen; unknown collections and further fields too."""
    for url in ("http://127.0.0.1:80/", "https://10.1.2.3/", "https://localhost/"):
        answer = await api.post("/v1/webhooks", json={"url": url, "collection": "handbook"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    body = {"url": "https://example.com/", "collection": "nowhere"}
    assert (await api.post("/v1/webhooks", json=body)).status_code == 404
    for _ in range(10):
        await register(api, "https://example.com/", "secrets")
    one_more = await api.post("/v1/webhooks", json={"url": "https://example.com/", "collection": "secrets"})
    assert (one_more.status_code, "10 webhooks" in one_more.json()["detail"]) == (422, True)
    own = gateway.key("query", collections=("handbook",))
    hidden = gateway.client.parts.webhooks.listed()
    async with gateway.caller(own.token) as caller:
        assert (await caller.get("/v1/webhooks")).json() == {"webhooks": []}
        assert (await caller.delete(f"/v1/webhooks/{hidden[0].id}")).status_code == 404
        assert (await caller.get(f"/v1/webhooks/{hidden[0].id}/deliveries")).status_code == 404


async def test_a_revoked_key_hears_nothing_more(bare_system: System, receiver: Receiver) -> None:
    """What its holder registered is told nothing from then on; a collection that goes takes its webhooks with it."""
    async with gateway_on(bare_system, webhook_allow_private=True) as gateway:
        store, admin, own = gateway.client.parts.api_keys, gateway.key("admin"), gateway.key("query")
        async with gateway.caller(own.token) as caller, gateway.caller(admin.token) as api:
            await register(caller, receiver.url)
            job_id = await ask(api)
            finish(gateway, job_id)
            await until(lambda: receiver.heard)
            store.revoke(own.key.id, at=time.time())
            await asyncio.sleep(6.0)
            finish(gateway, await ask(api))
            await asyncio.sleep(3.0)
            assert len(receiver.heard) == 1
            assert (await api.put("/v1/collections/passing", json={})).status_code == 200
            await register(api, "https://example.com/", "passing")
            assert (await api.delete("/v1/collections/passing")).status_code == 204
            assert "passing" not in {one.collection for one in gateway.client.parts.webhooks.listed()}


def leading_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name lead to these addresses, one look after the other; return the names that were looked up."""
    looked: list[str] = []

    async def found(_self: Any, host: str, port: int, **_options: Any) -> list[Any]:
        looked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", found)
    return looked


async def test_a_name_that_leads_inside_is_not_called(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither directly, nor as one of several addresses; numbers written otherwise are looked up like names."""
    sender = HttpWebhookSender(allow_private=False)
    for url in (receiver.url, f"http://localhost:{receiver.port}/", f"http://2130706433:{receiver.port}/"):
        with pytest.raises(WebhookFailed, match=r"not public|no address"):
            await sender.send(url, {}, b"{}")
    for addresses in (("127.0.0.1",), ("93.184.216.34", "127.0.0.1"), ("169.254.169.254",)):
        leading_to(monkeypatch, *addresses)
        with pytest.raises(WebhookFailed, match="not public"):
            await sender.send(f"http://hooks.example:{receiver.port}/", {}, b"{}")
    assert receiver.heard == []
    await sender.close()


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is looked up once for a connection, so a second answer cannot lead elsewhere; the name is still told."""
    looked = leading_to(monkeypatch, "127.0.0.1")
    sender = HttpWebhookSender(allow_private=True)
    assert await sender.send(f"http://hooks.example:{receiver.port}/hook", {"X-A": "b"}, b"{}") == 204
    assert looked == ["hooks.example"]
    ((_, headers, body),) = receiver.heard
    assert (headers["host"], headers["x-a"], body) == (f"hooks.example:{receiver.port}", "b", b"{}")
    await sender.close()


async def test_an_address_that_does_not_answer_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port at once, a silent one after some seconds."""
    monkeypatch.setattr("second_opinion.pipeline.adapters.webhook_sender.ANSWER_SECONDS", 0.5)
    sender = HttpWebhookSender(allow_private=True)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(WebhookFailed):
            await sender.send(f"http://127.0.0.1:{port}/", {}, b"{}")
        silent.listen()
        started = time.monotonic()
        with pytest.raises(WebhookFailed):
            await sender.send(f"http://127.0.0.1:{port}/", {}, b"{}")
        assert time.monotonic() - started < 5.0
    await sender.close()
