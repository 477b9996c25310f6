"""Who is let in, and as whom."""

import asyncio
import time

import httpx
import pytest

from second_opinion.gateway.http.keyring import FRESH_SECONDS, PAUSE_SECONDS, Keyring
from second_opinion.schemas.access import ApiKey
from second_opinion.schemas.errors import StoreUnavailable
from tests.acceptance.conftest import System
from tests.integration.http.conftest import GatewayRig, Served, gateway_on

pytestmark = pytest.mark.stack


async def test_loopback_is_open_until_a_key_is_made(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Without any key a caller of this machine may do everything; from the first key on, that key is needed."""
    answer = await api.get("/v1/about")
    assert answer.status_code == 200, answer.text
    assert answer.json()["key"] == {
        "id": "local",
        "name": "local",
        "scopes": ["ingest", "query", "admin"],
        "collections": ["*"],
    }
    made = gateway.key("query", collections=("handbook",))
    async with gateway.caller(made.token) as caller:
        answer = await caller.get("/v1/about")
        assert answer.status_code == 200, answer.text
        assert answer.json()["key"]["id"] == made.key.id
        assert answer.json()["key"]["collections"] == ["handbook"]
    refused = await api.get("/v1/about")
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_the_process_says_whether_it_can_work(served: Served) -> None:
    """Both probes answer without a key, over a real connection."""
    with served.http() as caller:
        assert caller.get("/healthz").json() == {"status": "ok"}
        ready = caller.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready"), ready.text


WRONG_TOKENS = ("", "so_", "so_5f0c_wrong", "sk-123", "so_" + "0" * 16 + "_" + "x" * 43, "ä" * 40)


async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(gateway: GatewayRig) -> None:
    """Unknown, revoked, expired, with another's secret, without any: nobody learns which keys there are."""
    good, revoked = gateway.key("query"), gateway.key("query")
    expired = gateway.key("query", expires_at=time.time() - 1)
    gateway.client.parts.api_keys.revoke(revoked.key.id, at=time.time())
    mixed = f"so_{good.key.id}_{revoked.token.split('_', 2)[2]}"
    answers = []
    for token in (revoked.token, expired.token, mixed, *WRONG_TOKENS):
        async with gateway.caller() as caller:
            sent = {"Authorization": f"Bearer {token}".encode()}
            answers.append(await caller.get("/v1/about", headers=sent))
    async with gateway.caller() as caller:
        answers.append(await caller.get("/v1/about"))
        answers.append(await caller.get("/v1/about", headers={"Authorization": f"Basic {good.token}"}))
        assert (await caller.get("/v1/about", headers={"Authorization": f"bearer {good.token}"})).status_code == 200
    assert {answer.status_code for answer in answers} == {401}
    bodies = [{key: value for key, value in answer.json().items() if key != "request_id"} for answer in answers]
    assert all(body == bodies[0] for body in bodies)


async def test_a_revoked_key_is_out_within_seconds(gateway: GatewayRig) -> None:
    """Without a restart; until then its holder may be let in for a moment."""
    gateway.key("query")
    made = gateway.key("query")
    async with gateway.caller(made.token) as caller:
        assert (await caller.get("/v1/about")).status_code == 200
        gateway.client.parts.api_keys.revoke(made.key.id, at=time.time())
        began = time.monotonic()
        while (await caller.get("/v1/about")).status_code == 200:
            assert time.monotonic() - began < FRESH_SECONDS + 2.0
            await asyncio.sleep(0.2)
        assert (await caller.get("/v1/about")).status_code == 401


async def test_guessing_keys_reads_the_store_only_a_few_times_a_second(gateway: GatewayRig) -> None:
    """However many guess at once: their requests share one reading."""
    gateway.key("query")
    store = gateway.client.parts.api_keys
    listings = 0
    listed = store.listed

    def counting() -> list[ApiKey]:
        nonlocal listings
        listings += 1
        return listed()

    gateway.app.state.gateway.keys = Keyring(lambda: asyncio.to_thread(counting), gateway.client.parts.stores.clock)
    async with gateway.caller("so_5f0c_wrong") as caller:
        began = time.monotonic()
        answers = await asyncio.gather(*(caller.get("/v1/about") for _ in range(50)))
        took = time.monotonic() - began
    assert {answer.status_code for answer in answers} == {401}
    assert listings <= 2 + took / PAUSE_SECONDS


async def test_only_this_machine_is_let_in_without_a_key(gateway: GatewayRig) -> None:
    """Not another address, and not what a proxy hands on."""
    async with gateway.caller(address=("10.1.2.3", 5)) as stranger:
        assert (await stranger.get("/v1/about")).status_code == 401
    async with gateway.caller() as caller:
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
            assert (await caller.get("/v1/about", headers={name: "127.0.0.1"})).status_code == 401
        assert (await caller.get("/v1/about")).status_code == 200


async def test_a_gateway_for_other_machines_wants_a_key_from_everybody(bare_system: System) -> None:
    """From this machine too, and with a key it answers to whatever name it has there."""
    async with gateway_on(bare_system, gateway_host="0.0.0.0") as gateway, gateway.caller() as caller:  # noqa: S104
        assert (await caller.get("/v1/about")).status_code == 401
        assert (await caller.get("/metrics")).status_code == 401
        token = gateway.key("admin").token
        async with gateway.caller(token, address=("10.1.2.3", 5), base_url="http://opinion.example") as known:
            assert (await known.get("/v1/about")).status_code == 200
            assert (await known.get("/metrics")).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8100", "127.0.0.1.evil.example", "localhost.evil", ""])
async def test_a_name_that_leads_here_from_elsewhere_is_refused(api: httpx.AsyncClient, host: str) -> None:
    """On loopback a page of another site could have its own name lead here, and read what it likes."""
    for path in ("/v1/about", "/", "/healthz"):
        answer = await api.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize("host", ["127.0.0.1/metrics?", "127.0.0.1/v2/rerank#", "x@127.0.0.1", "127.0.0.1\\@x"])
async def test_a_host_that_is_no_name_opens_nothing(gateway: GatewayRig, host: str) -> None:
    """What is let in without a key goes by the path that is asked for, and by nothing that a caller may write."""
    gateway.key("query")
    async with gateway.caller() as caller:
        answer = await caller.get("/v1/about", headers={"Host": host})
        assert answer.status_code == 421, answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8100", "127.0.0.1:1", "[::1]:8100"])
async def test_our_own_names_are_answered_to(api: httpx.AsyncClient, host: str) -> None:
    """Whatever the port: a tunnel may have another."""
    assert (await api.get("/v1/about", headers={"Host": host})).status_code == 200


async def test_a_page_of_another_origin_cannot_send_anything(api: httpx.AsyncClient) -> None:
    """A browser sends plain POSTs anywhere, without asking: the origin says whose page it was."""
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999", "http://[", ""):
        answer = await api.post("/v1/queries", json={"text": "x"}, headers={"Origin": origin})
        assert answer.status_code == 421, origin
    own = await api.get("/v1/about", headers={"Origin": "http://127.0.0.1:8100"})
    assert own.status_code == 200


async def test_nobody_is_let_in_while_keys_cannot_be_read(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Not knowing whether there are keys is not the same as having none."""

    async def away() -> list[ApiKey]:
        raise StoreUnavailable("Elasticsearch does not answer")

    gateway.app.state.gateway.keys = Keyring(away, gateway.client.parts.stores.clock)
    answer = await api.get("/v1/about")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert (await api.get("/healthz")).status_code == 200
