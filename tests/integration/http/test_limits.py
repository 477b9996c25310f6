"""What the gateway refuses before any resource is asked, and what every answer carries."""

import asyncio
import dataclasses
import json
import socket
import time
from collections.abc import AsyncIterator
from statistics import median

import httpx
import pytest
from pydantic import SecretStr

from second_opinion.gateway.http import limits
from second_opinion.schemas.errors import BrokerUnavailable
from second_opinion.schemas.queues import QueueFigures
from tests.acceptance.conftest import System
from tests.integration.http.conftest import GatewayRig, gateway_on

pytestmark = pytest.mark.stack


async def test_a_body_that_is_too_large_is_refused_announced_or_not(bare_system: System) -> None:
    """By its length, or as soon as too much of it has come: the rest is not read."""
    async with gateway_on(bare_system, gateway_max_body_bytes=1_000) as gateway, gateway.caller() as api:
        announced = await api.post("/v1/queries", json={"text": "x" * 2_000})
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            yield b'{"text": "'
            while sent < 100:
                sent += 1
                yield b"x" * 500

        chunked = await api.post("/v1/queries", content=endless(), headers={"Content-Type": "application/json"})
        for answer in (announced, chunked):
            assert answer.status_code == 413, answer.text
            assert answer.json()["code"] == "body_too_large"
        assert sent < 100
        small = await api.post("/v1/queries", json={"text": "x", "collection": "nowhere"})
        assert small.status_code == 404


async def test_a_body_that_stops_coming_is_not_waited_for(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller hears 408 and the connection's place is free again."""
    monkeypatch.setattr(limits, "SILENCE_SECONDS", 0.2)

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"text": '
        await asyncio.sleep(30)

    answer = await asyncio.wait_for(
        api.post("/v1/queries", content=stalled(), headers={"Content-Type": "application/json"}), 10
    )
    assert (answer.status_code, answer.json()["code"]) == (408, "body_too_slow")


async def test_a_key_is_held_to_its_rate_and_others_are_not(bare_system: System) -> None:
    """60 a minute are 10 at once and then one a second; the answer says when to come back."""
    async with gateway_on(bare_system, gateway_requests_per_minute=60) as gateway:
        busy, calm = gateway.key("query"), gateway.key("query")
        async with gateway.caller(busy.token) as api, gateway.caller(calm.token) as other:
            answers = [await api.get("/v1/about") for _ in range(14)]
            limited = [answer for answer in answers if answer.status_code == 429]
            assert [answer.status_code for answer in answers[:10]] == [200] * 10
            assert limited
            assert limited[0].json()["code"] == "rate_limited"
            assert limited[0].headers["retry-after"] == "1"
            assert (await other.get("/v1/about")).status_code == 200
            assert (await api.get("/healthz")).status_code == 200


async def test_a_rate_holds_over_all_gateways(bare_system: System) -> None:
    """What one gateway let in is used up at the other, too; it is not let in twice, and comes back with time."""
    async with (
        gateway_on(bare_system, gateway_requests_per_minute=60) as first,
        gateway_on(bare_system, gateway_requests_per_minute=60) as second,
    ):
        token = first.key("query").token
        async with first.caller(token) as here, second.caller(token) as there:
            began = time.monotonic()
            assert [(await here.get("/v1/about")).status_code for _ in range(10)] == [200] * 10
            await asyncio.sleep(0.5)
            let_in = 10
            while time.monotonic() < began + 6.0:
                for caller in (there, here):
                    let_in += (await caller.get("/v1/about")).status_code == 200
                await asyncio.sleep(0.05)
            elapsed = time.monotonic() - began
    # Ten at once, one a second, and what each may have let in before it heard of the other.
    assert 13 <= let_in <= 10 + elapsed + 2


@pytest.mark.alone
async def test_without_redis_each_gateway_holds_keys_to_their_rate(bare_system: System) -> None:
    """Its own count goes on, and no request waits for a server that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = SecretStr(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        choices = {"gateway_requests_per_minute": 60, "jobs_url": away}
        async with gateway_on(bare_system, **choices) as gateway, gateway.caller(gateway.key("query").token) as api:
            took, statuses = [], []
            for _ in range(14):
                began = time.perf_counter()
                statuses.append((await api.get("/v1/about")).status_code)
                took.append(time.perf_counter() - began)
    assert statuses[:10] == [200] * 10
    assert 429 in statuses
    assert median(took) < 0.2


@pytest.mark.parametrize(
    ("request_line", "body", "status", "code"),
    [
        ("POST /v1/queries", b"{not json", 400, "malformed_request"),
        ("POST /v1/queries", b'{"text": ""}', 422, "empty_query"),
        ("POST /v1/queries", b'{"text": "x", "flor": 0.3}', 422, None),
        ("GET /v1/nowhere", b"", 404, "not_found"),
        ("PATCH /v1/about", b"", 405, "method_not_allowed"),
    ],
)
async def test_every_error_is_a_problem_with_a_code(
    api: httpx.AsyncClient, request_line: str, body: bytes, status: int, code: str | None
) -> None:
    """Those of the framework too; the sentence, the hint and the request's id are there, and nothing of our inside."""
    method, _, path = request_line.partition(" ")
    answer = await api.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert code is None or problem["code"] == code
    assert problem["type"].endswith(problem["code"])
    assert problem["hint"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


async def test_a_wrong_field_is_named(api: httpx.AsyncClient) -> None:
    """By its path in the body, beside the sentence for people."""
    answer = await api.post("/v1/queries", json={"text": "x", "floor": 7})
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == ["floor"]
    assert "floor" in answer.json()["detail"]


async def test_a_defect_is_told_without_its_words(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """What went wrong inside is in the log, under the id that the caller gets."""

    def broken() -> None:
        raise RuntimeError("the password is hunter2")

    gateway.app.add_api_route("/v1/broken", broken, methods=["GET"])
    answer = await api.get("/v1/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("given", ["web-17.a_b", "x" * 64])
async def test_the_callers_request_id_is_kept(api: httpx.AsyncClient, given: str) -> None:
    """Where it is one."""
    answer = await api.get("/v1/about", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "a\tb"])
async def test_anything_else_gets_an_id_of_ours(api: httpx.AsyncClient, given: str) -> None:
    """It would end up in logs."""
    answer = await api.get("/v1/about", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] not in {given, ""}


@pytest.mark.parametrize("path", ["/healthz", "/v1/about", "/v1/nowhere", "/metrics"])
async def test_every_answer_tells_browsers_to_keep_to_themselves(api: httpx.AsyncClient, path: str) -> None:
    """A strict policy, no sniffing, no framing, no referrer, no cache, and no word of CORS."""
    answer = await api.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_metrics_count_by_route_and_status(api: httpx.AsyncClient) -> None:
    """Never by what a caller wrote into the path."""
    await api.get("/v1/about")
    await api.get("/v1/somebodys-secret")
    text = (await api.get("/metrics")).text
    assert 'opinion_gateway_requests_total{method="GET",route="/v1/about",status="200"} 1.0' in text
    assert 'route="unmatched",status="404"} 1.0' in text
    assert "somebodys-secret" not in text
    assert "opinion_gateway_waiting_callers 0.0" in text


async def test_metrics_tell_how_the_queues_stand(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Read when asked; where they cannot be read, that is told and no old figure is."""
    gateway.client.set_collection("default")
    gateway.client.submit_query("anything?")
    text = (await api.get("/metrics")).text
    assert "opinion_queues_known 1.0" in text
    assert 'opinion_queue_messages{queue="retrieve"} 1.0' in text
    assert 'opinion_queue_consumers{queue="retrieve"} 0.0' in text

    def away() -> list[QueueFigures]:
        raise BrokerUnavailable("Redis does not answer")

    held = gateway.app.state.gateway
    held.client.parts = dataclasses.replace(held.parts, queue_figures=away)
    text = (await api.get("/metrics")).text
    assert "opinion_queues_known 0.0" in text
    assert "opinion_queue_messages{" not in text


async def test_the_description_names_errors_and_keys(api: httpx.AsyncClient) -> None:
    """OpenAPI 3.1, with the form of problems and the way to send a key."""
    description = json.loads((await api.get("/openapi.json")).text)
    assert description["openapi"].startswith("3.1")
    assert description["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    about = description["paths"]["/v1/about"]["get"]["responses"]
    assert about["401"]["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
