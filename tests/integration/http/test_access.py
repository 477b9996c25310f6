"""Who is let in, and as whom."""

import httpx
import pytest

from tests.integration.http.conftest import GatewayRig, Served

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
