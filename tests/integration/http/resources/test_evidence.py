"""Past queries over HTTP: listed, opened, judged, and asked what they say of a floor."""

import asyncio
import time
import uuid
from typing import Any

import httpx
import pytest

from second_opinion.schemas.floor_choice import FloorReplay, FloorReport
from second_opinion.schemas.trace import Trace
from second_opinion.testing.traces import a_trace
from tests.acceptance.conftest import System
from tests.integration.http.conftest import GatewayRig

pytestmark = pytest.mark.stack

NOW = time.time()


@pytest.fixture(scope="module")
def past(shared_system: System) -> dict[str, Trace]:
    """Forty queries to the handbook, and one to the other collection."""
    client = shared_system.client()
    run = uuid.uuid4().hex[:6]
    traces = {
        str(number): a_trace(
            f"{run}-{number}",
            0.99 - number / 50,
            0.3 - number / 200,
            at=NOW - number,
            collection="handbook",
            text=f"question {run} {number}",
        )
        for number in range(40)
    }
    traces["secret"] = a_trace(f"{run}-secret", 0.9, at=NOW + 1, collection="secrets", text="where is the key?")
    assert client.parts.traces.write(list(traces.values())) == [None] * len(traces)
    # Listings follow by a second.
    time.sleep(2.0)
    client.close()
    return traces


async def get(api: httpx.AsyncClient, path: str, status: int = 200, **parameters: Any) -> Any:
    """Return what a resource answers."""
    answer = await api.get(path, params=parameters)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_past_queries_are_listed_the_newest_first(api: httpx.AsyncClient, past: dict[str, Trace]) -> None:
    """Following `next` leads through all of them, each once."""
    found: list[dict[str, Any]] = []
    page = await get(api, "/v1/traces", collection="handbook", limit=15)
    while True:
        found += page["traces"]
        if page["next"] is None:
            break
        page = await get(api, "/v1/traces", collection="handbook", limit=15, before=page["next"])
    assert [row["job_id"] for row in found] == [past[str(number)].job_id for number in range(40)]
    assert (found[0]["outcome"], found[0]["best_relevance"], found[0]["candidates"]) == ("answered", 0.99, 2)
    everywhere = await get(api, "/v1/traces", limit=1)
    assert everywhere["traces"][0]["collection"] == "secrets"
    assert (await get(api, "/v1/traces", 422, before="yesterday"))["code"] == "invalid_request"


async def test_a_trace_is_opened_with_its_judgements(api: httpx.AsyncClient, past: dict[str, Trace]) -> None:
    """A judgement by rank or chunk id is there when the trace is opened again; a later one takes its place."""
    trace = past["3"]
    opened = await get(api, f"/v1/traces/{trace.job_id}")
    assert Trace.model_validate(opened["trace"]) == trace
    assert (opened["judgements"], opened["chunks"]) == ({}, {})
    chunk = trace.candidates[0].chunk_id
    for given, relevant in (("1", True), (chunk, False)):
        body = {"job_id": trace.job_id, "chunk": given, "relevant": relevant}
        answer = await api.post("/v1/judgements", json=body)
        assert (answer.status_code, answer.json()["chunk_id"]) == (200, chunk)
        judged = (await get(api, f"/v1/traces/{trace.job_id}"))["judgements"]
        assert {name: one["relevant"] for name, one in judged.items()} == {chunk: relevant}
    unknown = await api.post("/v1/judgements", json={"job_id": trace.job_id, "chunk": "99", "relevant": True})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_candidate")
    assert (await get(api, "/v1/traces/nobody", 404))["code"] == "unknown_trace"


async def test_a_trace_of_this_moment_is_waited_for(
    gateway: GatewayRig, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traces are written behind the answers; who opens one at once waits for it, without holding a thread."""
    late = a_trace("late", 0.9, at=NOW, collection="handbook")
    looks: list[str] = []

    def coming(job_id: str) -> Trace | None:
        looks.append(job_id)
        return late if len(looks) > 3 else None

    monkeypatch.setattr(gateway.client.evidence, "find_trace", coming)
    assert (await get(api, "/v1/traces/late"))["trace"]["job_id"] == "late"
    monkeypatch.setattr(gateway.client.evidence, "find_trace", lambda _job_id: None)
    monkeypatch.setattr("second_opinion.gateway.http.routes.traces.TRACE_DELAY", 0.5)
    assert (await get(api, "/v1/traces/never", 404))["code"] == "unknown_trace"


async def test_a_floor_is_asked_about(gateway: GatewayRig, api: httpx.AsyncClient, past: dict[str, Trace]) -> None:
    """Report, replay and suggestion are those of the Python client, floors in their order, the present one added."""
    report = FloorReport.model_validate(await get(api, "/v1/floor/report", collection="handbook", floors="0.7,0.2"))
    assert report == gateway.client.evidence.report("handbook", floors=[0.7, 0.2])
    assert [row.floor for row in report.rows] == [0.2, 0.4, 0.7]
    assert report.spread.traces == 40
    replay = FloorReplay.model_validate(await get(api, "/v1/floor/replay", collection="handbook", floor=0.5))
    assert replay == gateway.client.evidence.replay(0.5, "handbook")
    assert replay.newly_refused == sum(0.4 <= (past[str(n)].best_relevance or 0.0) < 0.5 for n in range(40))
    missing = await get(api, "/v1/floor/suggest", 409, collection="secrets", goal="precision", value=0.9)
    assert missing["code"] == "not_enough_judgements"


@pytest.mark.parametrize("floors", ["", "x", "1.1", "nan", ",".join(["0.5"] * 102)])
async def test_floors_are_numbers_from_0_to_1(api: httpx.AsyncClient, floors: str) -> None:
    """Anything else is refused with an example."""
    assert "0.3,0.5" in (await get(api, "/v1/floor/report", 422, collection="handbook", floors=floors))["hint"]


async def test_enough_judgements_lead_to_a_floor(api: httpx.AsyncClient, past: dict[str, Trace]) -> None:
    """Sixty judgements, relevant where relevance is high, give a floor that meets the goal; they are all listed."""
    for number in range(30):
        trace = past[str(number)]
        for rank in ("1", "2"):
            body = {"job_id": trace.job_id, "chunk": rank, "relevant": rank == "1"}
            assert (await api.post("/v1/judgements", json=body)).status_code == 200
    found = await get(api, "/v1/floor/suggest", collection="handbook", goal="precision", value=0.9)
    assert found["finding"] == "found"
    assert 0.2 < found["floor"] <= 0.5
    keys: list[str] = []
    page = await get(api, "/v1/judgements", collection="handbook", limit=25)
    while page["next"] is not None:
        keys += [one["chunk_id"] for one in page["judgements"]]
        page = await get(api, "/v1/judgements", collection="handbook", limit=25, after=page["next"])
    keys += [one["chunk_id"] for one in page["judgements"]]
    assert len(keys) >= 60


async def test_another_collections_traces_are_not_there(gateway: GatewayRig, past: dict[str, Trace]) -> None:
    """A key of one collection sees, judges and counts its own queries only, also where it names no collection."""
    secret = past["secret"]
    own = gateway.key("query", collections=("handbook",))
    async with gateway.caller(own.token) as caller:
        assert {row["collection"] for row in (await get(caller, "/v1/traces"))["traces"]} == {"handbook"}
        assert (await get(caller, "/v1/floor/report"))["collection"] == "handbook"
        assert {one["collection"] for one in (await get(caller, "/v1/judgements"))["judgements"]} <= {"handbook"}
        hidden = await get(caller, f"/v1/traces/{secret.job_id}", 404)
        nowhere = await get(caller, "/v1/traces/nobody", 404)
        assert hidden["detail"].replace(secret.job_id, "nobody") == nowhere["detail"]
        body = {"job_id": secret.job_id, "chunk": "1", "relevant": True}
        assert (await caller.post("/v1/judgements", json=body)).status_code == 404
        for path in ("traces", "floor/report", "judgements"):
            await get(caller, f"/v1/{path}", 404, collection="secrets")
    two = gateway.key("query", collections=("handbook", "secrets"))
    async with gateway.caller(two.token) as caller:
        assert "?collection=handbook" in (await get(caller, "/v1/traces", 422))["hint"]


async def test_opening_a_trace_holds_no_thread(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Fifty callers that wait for traces which may come leave room for others."""
    gateway.client.evidence.find_trace = lambda _job_id: None  # type: ignore[method-assign]
    waiting = [asyncio.create_task(api.get(f"/v1/traces/t{number}")) for number in range(50)]
    await asyncio.sleep(0.5)
    started = time.monotonic()
    await get(api, "/v1/collections/handbook")
    assert time.monotonic() - started < 2.0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
