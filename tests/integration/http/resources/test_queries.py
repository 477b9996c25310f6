"""Queries over HTTP: asked once, waited for, asked about again, cancelled, and seen by those who may."""

import asyncio
import time

import httpx
import pytest

from second_opinion.schemas.errors import RerankUnavailable
from second_opinion.schemas.job import Job, JobState
from second_opinion.testing.builders import a_result
from tests.integration.http.conftest import GatewayRig

pytestmark = pytest.mark.stack


async def ask(api: httpx.AsyncClient, **more: object) -> Job:
    """Submit a question."""
    answer = await api.post("/v1/queries", json={"text": "who approves refunds?", "collection": "handbook", **more})
    assert answer.status_code == 202, answer.text
    return Job.model_validate_json(answer.content)


def finish(gateway: GatewayRig, job_id: str) -> None:
    """End a job as a worker does."""
    jobs = gateway.client.parts.jobs
    assert jobs.finish(job_id, JobState.DONE, at=time.time(), result=a_result(job_id))


async def finish_later(gateway: GatewayRig, job_id: str, seconds: float = 0.5) -> None:
    """End it after a while."""
    await asyncio.sleep(seconds)
    await asyncio.to_thread(finish, gateway, job_id)


async def test_a_question_becomes_a_job(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """The answer says where the job is; it is queued there, with the choices made, until it has ended."""
    answer = await api.post("/v1/queries", json={"text": "who?", "collection": "handbook", "floor": 0.0})
    assert answer.status_code == 202
    job = Job.model_validate_json(answer.content)
    assert answer.headers["location"] == f"/v1/queries/{job.job_id}"
    assert (job.state, job.query.choices.floor) == (JobState.QUEUED, 0.0)
    assert gateway.client.result(job.job_id) == job
    finish(gateway, job.job_id)
    ended = await api.get(answer.headers["location"])
    assert Job.model_validate_json(ended.content) == gateway.client.result(job.job_id)


async def test_a_caller_may_wait_in_the_same_request(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """It hears of the end when it comes; what takes longer than it waits is still a job."""
    job = await ask(api)
    ending = asyncio.create_task(finish_later(gateway, job.job_id))
    started = time.monotonic()
    answer = await api.get(f"/v1/queries/{job.job_id}", headers={"Prefer": "respond-async, wait=30"})
    assert answer.json()["state"] == "done"
    assert answer.headers["preference-applied"] == "wait=30"
    assert time.monotonic() - started < 10.0
    await ending
    started = time.monotonic()
    body = {"text": "who?", "collection": "handbook"}
    answer = await api.post("/v1/queries", json=body, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert time.monotonic() - started > 0.9


async def test_polling_costs_nothing_while_nothing_changes(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """An unchanged job is not sent a second time; a changed one is."""
    job = await ask(api)
    first = await api.get(f"/v1/queries/{job.job_id}")
    tag = first.headers["etag"]
    same = await api.get(f"/v1/queries/{job.job_id}", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    finish(gateway, job.job_id)
    changed = await api.get(f"/v1/queries/{job.job_id}", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["state"]) == (200, "done")


async def test_the_same_key_asks_once(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Many requests with one Idempotency-Key are one job; another question under it is refused."""
    name = {"Idempotency-Key": "order-4711"}
    body = {"text": "who approves refunds?", "collection": "handbook"}
    answers = await asyncio.gather(*(api.post("/v1/queries", json=body, headers=name) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    for other in ({"text": "who else?"}, {"floor": 0.9}, {"collection": "secrets"}):
        refused = await api.post("/v1/queries", json={**body, **other}, headers=name)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_conflict")
    finish(gateway, answers[0].json()["job_id"])
    again = await api.post("/v1/queries", json=body, headers=name)
    assert (again.status_code, again.json()["state"]) == (200, "done")


async def test_what_failed_for_a_moment_is_asked_anew_under_its_key(
    gateway: GatewayRig, api: httpx.AsyncClient
) -> None:
    """A caller that tries again after `rerank_unavailable` gets another try, not the old failure."""
    body, name = {"text": "who?", "collection": "handbook"}, {"Idempotency-Key": "again"}
    first = (await api.post("/v1/queries", json=body, headers=name)).json()
    gateway.client.parts.jobs.finish(
        first["job_id"], JobState.FAILED, at=time.time(), error=RerankUnavailable("the model is away").info()
    )
    second = await api.post("/v1/queries", json=body, headers=name)
    assert second.status_code == 202
    assert second.json()["job_id"] != first["job_id"]


async def test_two_callers_keys_never_meet(gateway: GatewayRig) -> None:
    """The same Idempotency-Key of two API keys is two jobs."""
    body, name = {"text": "who?", "collection": "handbook"}, {"Idempotency-Key": "1"}
    found = set()
    for _ in range(2):
        async with gateway.caller(gateway.key("query").token) as caller:
            found.add((await caller.post("/v1/queries", json=body, headers=name)).json()["job_id"])
    assert len(found) == 2


async def test_a_cancelled_question_stays_cancelled(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Whoever waits hears of it; one that has ended stays as it was."""
    job = await ask(api)
    waiting = asyncio.create_task(api.get(f"/v1/queries/{job.job_id}", headers={"Prefer": "wait=30"}))
    await asyncio.sleep(0.3)
    cancelled = await api.post(f"/v1/queries/{job.job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (await waiting).json()["error"]["code"] == "cancelled"
    done = await ask(api)
    finish(gateway, done.job_id)
    assert (await api.post(f"/v1/queries/{done.job_id}/cancel")).json()["state"] == "done"


async def test_why_is_answered_by_stage(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """A document that was never sent is not indexed; a job without a result cannot be explained."""
    job = await ask(api)
    early = await api.get(f"/v1/queries/{job.job_id}/why", params={"document": "refunds/2.md"})
    assert (early.status_code, early.json()["code"]) == (422, "invalid_request")
    finish(gateway, job.job_id)
    answer = await api.get(f"/v1/queries/{job.job_id}/why", params={"document": "refunds/2.md"})
    assert answer.json()["fate"] == "not_indexed"


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"text": "  "}, "empty_query", None),
        ({"text": "x" * 4_001}, "query_too_long", None),
        ({"text": "who?", "flor": 0.5}, "invalid_query", "flor"),
        ({"text": "who?", "floor": 1.5}, "invalid_query", "floor"),
        ({"text": "who?", "job_id": "mine"}, "invalid_query", "job_id"),
        ({"text": "who?", "filters": [{"op": "range", "field": "year"}]}, "invalid_query", None),
        ({"text": "who?", "filters": [{"op": "exists", "field": "year"}]}, "unknown_filter_field", None),
        ({}, "invalid_query", "text"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(
    api: httpx.AsyncClient, body: dict[str, object], code: str, field: str | None
) -> None:
    """The error is the one that the Python client raises, and names the field where there is one."""
    answer = await api.post("/v1/queries", json={"collection": "handbook", **body})
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert field is None or field in {one["field"] for one in answer.json()["errors"]}


@pytest.mark.parametrize("name", ["x" * 256, "two words"])
async def test_an_idempotency_key_is_printable_and_short(api: httpx.AsyncClient, name: str) -> None:
    """Anything else is refused before a job is made."""
    body = {"text": "who?", "collection": "handbook"}
    assert (await api.post("/v1/queries", json=body, headers={"Idempotency-Key": name})).status_code == 422


async def test_another_collections_jobs_are_not_there(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """A key of one collection hears of the other's jobs what it hears of jobs that never were."""
    job = await ask(api, collection="secrets", text="where is the key?")
    own = gateway.key("query", collections=("handbook",))
    async with gateway.caller(own.token) as caller:
        for method, path in (
            ("GET", f"/v1/queries/{job.job_id}"),
            ("GET", f"/v1/queries/{job.job_id}/why?document=x"),
            ("GET", f"/v1/queries/{job.job_id}/events"),
            ("POST", f"/v1/queries/{job.job_id}/cancel"),
        ):
            answer = await caller.request(method, path)
            nowhere = await caller.request(method, path.replace(job.job_id, "nowhere"))
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job"), path
            assert answer.json()["detail"].replace(job.job_id, "nowhere") == nowhere.json()["detail"]
        refused = await caller.post("/v1/queries", json={"text": "where?", "collection": "secrets"})
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_collection")
    assert gateway.client.result(job.job_id).state is JobState.QUEUED


async def test_whoever_leaves_frees_what_waited_for_it(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """A caller that goes away while it waits leaves no watcher behind."""
    job = await ask(api)
    waiting = asyncio.create_task(api.get(f"/v1/queries/{job.job_id}", headers={"Prefer": "wait=60"}))
    await asyncio.sleep(0.5)
    held = gateway.app.state.gateway
    assert held.waiting.count == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.1)
    assert held.waiting.count == 0
    assert gateway.client.parts.jobs._news._watchers == {}  # type: ignore[attr-defined]
