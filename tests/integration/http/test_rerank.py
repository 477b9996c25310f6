"""`/v2/rerank` as Cohere has it, and `/rerank` as Text Embeddings Inference has it, on the bundled model."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from second_opinion.pipeline.adapters import onnx_engine
from second_opinion.schemas.errors import TextUnreadable
from second_opinion.workers.bootstrap import gateway_rerankers
from second_opinion.workers.rerankers import LocalReranker
from second_opinion.workers.settings import Settings
from tests.acceptance.conftest import System, wait_until
from tests.integration.http.conftest import GatewayRig, Served, gateway_on

QUERY = "who approves refunds?"
DOCUMENTS = [
    "Dogs may visit the office on Fridays.",
    "A manager approves refunds above one hundred euros.",
    "Refunds are paid within a week.",
    "Green tea is in the third drawer.",
]
PATHS = ["/v2/rerank", "/v1/rerank"]


@pytest.fixture(scope="module")
def local() -> Iterator[LocalReranker]:
    """The same model in this test's own hands."""
    (opened,) = gateway_rerankers(Settings(model_threads=1))
    yield opened
    opened.close()


def relevances(local: LocalReranker, documents: list[str]) -> dict[int, float]:
    """What the model and its calibration say of each document here."""
    return dict(enumerate(local.calibration.relevance(local.reranker.score(QUERY, documents))))


@pytest.mark.parametrize("path", PATHS)
async def test_documents_come_back_in_coheres_form(api: httpx.AsyncClient, local: LocalReranker, path: str) -> None:
    """Best first, each once, with calibrated relevance to the last bit, and the calibration is named."""
    answered = await api.post(path, json={"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS})
    assert answered.status_code == 200
    body = answered.json()
    assert {one["index"]: one["relevance_score"] for one in body["results"]} == relevances(local, DOCUMENTS)
    assert body["results"][0]["index"] == 1
    scores = [one["relevance_score"] for one in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert body["id"] == answered.headers["x-request-id"]
    assert body["meta"] == {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1},
        "calibration": {"source": "shipped", "id": local.calibration.id},
        "reranker": "bundled",
        "model": f"{local.reranker.spec.model}@{local.reranker.spec.revision}",
    }


async def test_only_the_best_are_sent_when_asked_so(api: httpx.AsyncClient) -> None:
    """`top_n` limits the answer, not what is read; more than there are is no error."""
    asked = {"query": QUERY, "documents": DOCUMENTS}
    every = (await api.post("/v2/rerank", json=asked)).json()["results"]
    assert (await api.post("/v2/rerank", json={**asked, "top_n": 2})).json()["results"] == every[:2]
    assert (await api.post("/v2/rerank", json={**asked, "top_n": 99})).json()["results"] == every


async def test_documents_may_be_objects_and_come_back(api: httpx.AsyncClient) -> None:
    """Older programs send objects with a `text`, and ask for the documents beside their scores."""
    asked = {"query": QUERY, "documents": [{"text": one} for one in DOCUMENTS], "return_documents": True, "top_n": 1}
    (best,) = (await api.post("/v1/rerank", json=asked)).json()["results"]
    assert best["document"] == {"text": DOCUMENTS[1]}


async def test_an_empty_document_has_no_relevance_and_costs_the_others_nothing(
    api: httpx.AsyncClient, local: LocalReranker
) -> None:
    """It is last, with 0, and the others are scored as without it."""
    body = (await api.post("/v2/rerank", json={"query": QUERY, "documents": ["", *DOCUMENTS, "  "]})).json()
    assert [(one["index"], one["relevance_score"]) for one in body["results"][-2:]] == [(0, 0.0), (5, 0.0)]
    found = {one["index"] - 1: one["relevance_score"] for one in body["results"][:-2]}
    assert found == relevances(local, DOCUMENTS)


async def test_what_was_not_read_is_said(api: httpx.AsyncClient) -> None:
    """Long documents, a long query and unknown options are named; as many tokens are read as were asked for."""
    documents = ["short", "word " * 900]
    asked = {"query": "why " * 300, "documents": documents, "relevant_spans": {"enabled": True}, "rank_fields": None}
    warnings = (await api.post("/v2/rerank", json=asked)).json()["meta"]["warnings"]
    assert ["document 1" in warnings[0], "query" in warnings[1], "relevant_spans" in warnings[2]] == [True] * 3
    assert len(warnings) == 3
    brief = {"query": "why", "documents": documents, "max_tokens_per_doc": 50}
    assert "warnings" not in (await api.post("/v2/rerank", json=brief)).json()["meta"]


async def test_ten_thousand_documents_are_taken_and_no_more(api: httpx.AsyncClient) -> None:
    """The contract's limit; equal texts are read once."""
    answered = await api.post("/v2/rerank", json={"query": QUERY, "documents": DOCUMENTS * 2_500})
    assert (len(answered.json()["results"]), answered.json()["meta"]["billed_units"]) == (10_000, {"search_units": 100})
    refused = await api.post("/v2/rerank", json={"query": QUERY, "documents": [*(DOCUMENTS * 2_500), "one more"]})
    assert refused.status_code == 400
    assert "10,001 documents" in refused.json()["message"]


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"query": None}, 422, "query"),
        ({"documents": None}, 422, "documents"),
        ({"documents": [7]}, 422, "documents.0"),
        ({"documents": []}, 400, "`documents` is empty"),
        ({"query": " "}, 400, "query is empty"),
        ({"top_n": 0}, 400, "top_n"),
        ({"max_tokens_per_doc": -1}, 400, "max_tokens_per_doc"),
        ({"model": "gpt-4"}, 404, "'gpt-4' not found. Name one of: bundled"),
    ],
)
async def test_errors_are_told_as_cohere_tells_them(
    api: httpx.AsyncClient, change: dict[str, Any], status: int, told: str
) -> None:
    """A sentence under `message`, the request's id, and the status that the SDK makes its exceptions of."""
    body = {"query": QUERY, "documents": DOCUMENTS, **change}
    refused = await api.post("/v2/rerank", json={name: value for name, value in body.items() if value is not None})
    assert refused.status_code == status
    assert set(refused.json()) == {"message", "id"}
    assert told in refused.json()["message"]
    assert refused.json()["id"] == refused.headers["x-request-id"]


@pytest.mark.parametrize("path", [*PATHS, "/rerank"])
async def test_refusals_before_the_route_have_the_same_form(gateway: GatewayRig, path: str) -> None:
    """A wrong key, a missing scope, a body that is no JSON or too large: none is told in another API's form."""
    writer, reader = gateway.key("ingest"), gateway.key("query")
    expected = {"error", "error_type"} if path == "/rerank" else {"message", "id"}
    for token, content, status in (
        (None, b"{}", 401),
        ("so_0_wrong", b"{}", 401),
        (writer.token, b"{}", 403),
        (reader.token, b"{", 400),
        (reader.token, b"{}", 422),
    ):
        async with gateway.caller(token) as caller:
            refused = await caller.post(path, content=content, headers={"content-type": "application/json"})
        assert (refused.status_code, set(refused.json())) == (status, expected), refused.text


async def test_any_key_will_do_where_none_is_needed(gateway: GatewayRig) -> None:
    """SDKs insist on sending one; it lets nobody in once there are keys, nor anywhere else, nor from elsewhere."""
    asked = {"query": QUERY, "documents": DOCUMENTS}
    async with gateway.caller("none-needed") as caller:
        assert (await caller.post("/v2/rerank", json=asked)).status_code == 200
        assert (await caller.get("/v1/about")).status_code == 401
    async with gateway.caller("none-needed", address=("192.0.2.7", 50_000)) as caller:
        assert (await caller.post("/v2/rerank", json=asked)).status_code == 401
    async with gateway.caller(gateway.key("ingest").token) as caller:
        assert (await caller.get("/v1/about")).status_code == 200
    async with gateway.caller("none-needed") as caller:
        assert (await caller.post("/v2/rerank", json=asked)).status_code == 401


async def test_it_can_be_switched_off(bare_system: System) -> None:
    """Then the paths answer that there is nothing, and how to get it."""
    async with gateway_on(bare_system, gateway_rerank="off") as rig, rig.caller() as api:
        refused = await api.post("/v2/rerank", json={"query": QUERY, "documents": DOCUMENTS})
        assert (refused.status_code, "OPINION_GATEWAY_RERANK" in refused.json()["message"]) == (404, True)
        assert not rig.app.state.gateway.rerank.is_open


async def test_models_are_loaded_when_the_gateway_starts_if_it_is_told_so(bare_system: System) -> None:
    """Otherwise they are loaded at the first request."""
    async with gateway_on(bare_system, gateway_rerank="start") as rig:
        assert rig.app.state.gateway.rerank.is_open
    async with gateway_on(bare_system) as rig:
        assert not rig.app.state.gateway.rerank.is_open


@pytest_asyncio.fixture
async def tight(bare_system: System) -> AsyncIterator[GatewayRig]:
    """A gateway that lets few passages wait, on one thread."""
    async with gateway_on(bare_system, gateway_rerank_passages=300, model_threads=1, gateway_rerank="start") as made:
        yield made


def many(count: int) -> list[str]:
    """Different texts."""
    return [
        f"Refund number {number} is approved by nobody in particular, and takes a while." for number in range(count)
    ]


async def test_a_full_gateway_says_when_to_come_back(tight: GatewayRig) -> None:
    """429 with Retry-After, as the SDKs expect, in both forms; the request that is under way is not disturbed."""
    async with tight.caller() as api:
        first = asyncio.create_task(api.post("/v2/rerank", json={"query": QUERY, "documents": many(280)}))
        await asyncio.sleep(0.3)
        refused = await api.post("/v2/rerank", json={"query": QUERY, "documents": many(30)})
        texts = await api.post("/rerank", json={"query": QUERY, "texts": many(30)})
        assert "opinion_gateway_rerank_passages 280.0" in (await api.get("/metrics")).text
        assert (refused.status_code, int(refused.headers["retry-after"]) >= 1) == (429, True)
        assert (texts.status_code, texts.json()["error_type"]) == (429, "Overloaded")
        assert len((await first).json()["results"]) == 280
        assert tight.app.state.gateway.rerank.waiting == 0


async def test_a_request_that_takes_too_long_is_told_so(bare_system: System) -> None:
    """504 after the time that the settings allow, and the work is left."""
    choices = {"gateway_rerank_seconds": 0.3, "model_threads": 1, "gateway_rerank": "start"}
    async with gateway_on(bare_system, **choices) as rig, rig.caller() as api:
        began = time.monotonic()
        refused = await api.post("/v2/rerank", json={"query": QUERY, "documents": many(2_000)})
        assert (refused.status_code, time.monotonic() - began < 5.0) == (504, True)
        assert "2000 passages" in refused.json()["message"]
        assert rig.app.state.gateway.rerank.waiting == 0


async def test_a_gateway_that_stops_sends_waiting_requests_away(tight: GatewayRig) -> None:
    """503 with Retry-After: another process will answer."""
    async with tight.caller() as api:
        asked = asyncio.create_task(api.post("/v2/rerank", json={"query": QUERY, "documents": many(280)}))
        await asyncio.sleep(0.3)
        tight.app.state.gateway.waiting.stop()
        refused = await asked
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        assert set(refused.json()) == {"message", "id"}


def test_a_caller_who_hangs_up_stops_the_work(served: Served) -> None:
    """What nobody waits for is not read on, over a real connection."""
    desk = served.app.state.gateway.rerank
    with served.http() as http:
        http.post("/v2/rerank", json={"query": QUERY, "documents": DOCUMENTS}).raise_for_status()
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.Client(base_url=served.url, timeout=httpx.Timeout(5.0, read=0.5)) as http,
    ):
        http.post("/v2/rerank", json={"query": QUERY, "documents": many(5_000)})
    wait_until(lambda: desk.waiting == 0, 5.0)


async def test_texts_are_scored_in_teis_form(api: httpx.AsyncClient, local: LocalReranker) -> None:
    """A bare list, best first: relevance, or logits where they are asked for, and the texts where they are."""
    body = (await api.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS})).json()
    assert {one["index"]: one["score"] for one in body} == relevances(local, DOCUMENTS)
    assert (body[0]["index"], set(body[0])) == (1, {"index", "score"})
    raw = (await api.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "raw_scores": True})).json()
    assert {one["index"]: one["score"] for one in raw} == dict(enumerate(local.reranker.score(QUERY, DOCUMENTS)))
    texts = (await api.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "return_text": True})).json()
    assert [one["text"] for one in texts] == [DOCUMENTS[one["index"]] for one in texts]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"texts": []}, 422),
        ({"texts": "one"}, 422),
        ({"query": ""}, 422),
        ({"texts": ["a"] * 10_001}, 413),
        ({"texts": ["word " * 900]}, 413),
        ({"truncation_direction": "left"}, 422),
    ],
)
async def test_errors_are_told_as_tei_tells_them(api: httpx.AsyncClient, change: dict[str, Any], status: int) -> None:
    """`error` and `error_type`; a text that is too long is refused unless its end may be left out."""
    refused = await api.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, **change})
    assert (refused.status_code, refused.json()["error_type"]) == (status, "Validation")
    assert refused.json()["error"]


async def test_the_other_form_is_recognised(api: httpx.AsyncClient) -> None:
    """Servers of both forms are found under this path: who sends the other one hears where it is taken."""
    refused = await api.post("/rerank", json={"query": QUERY, "documents": DOCUMENTS})
    assert (refused.status_code, "/v2/rerank" in refused.json()["error"]) == (422, True)


async def test_long_texts_are_cut_where_that_is_allowed(api: httpx.AsyncClient) -> None:
    """`truncate` has the beginning read."""
    answered = await api.post("/rerank", json={"query": QUERY, "texts": ["word " * 900], "truncate": True})
    assert [one["index"] for one in answered.json()] == [0]


async def test_a_text_on_which_the_model_fails_fails_alone(
    api: httpx.AsyncClient, gateway: GatewayRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cohere's form leaves it out and names it; TEI's has no way to, so it is told that the model failed."""
    run = onnx_engine.Model.run

    def breaking(model: onnx_engine.Model, tokens: Any) -> Any:
        if tokens.ids.shape[1] > 100:
            raise TextUnreadable("the model fails on this text")
        return run(model, tokens)

    gateway.app.state.gateway.rerank.open()
    monkeypatch.setattr(onnx_engine.Model, "run", breaking)
    documents = ["poison " * 120, *DOCUMENTS]
    body = (await api.post("/v2/rerank", json={"query": QUERY, "documents": documents})).json()
    assert sorted(one["index"] for one in body["results"]) == [1, 2, 3, 4]
    assert "document 0" in body["meta"]["warnings"][0]
    assert (await api.post("/v2/rerank", json={"query": QUERY, "documents": documents[:1]})).status_code == 422
    failed = await api.post("/rerank", json={"query": QUERY, "texts": documents})
    assert (failed.status_code, failed.json()["error_type"]) == (424, "Backend")
