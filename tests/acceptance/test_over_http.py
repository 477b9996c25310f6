"""The whole way over HTTP alone: a real gateway, real workers, bundled models, and nothing but requests."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from second_opinion.samples import samples_folder
from second_opinion.schemas.job import TERMINAL_STATES
from tests.acceptance.conftest import System, wait_until
from tests.integration.http.conftest import Served, serving

CHILDREN = "ibuprofen-dosage-children.md"
SAMPLES = [
    {"id": file.name, "media_type": "text/markdown", "text": file.read_text(encoding="utf-8")}
    for file in sorted(samples_folder().glob("*.md"))
]


@pytest.fixture(scope="module")
def gateway(system: System) -> Iterator[Served]:
    """A gateway and a worker of every role."""
    system.start_all()
    with serving(system, webhook_allow_private=True) as made:
        yield made


@pytest.fixture(scope="module")
def caller(gateway: Served) -> Iterator[httpx.Client]:
    """A caller with nothing but HTTP, who has sent the samples as lines and waited for each."""
    with gateway.http() as caller:
        lines = b"".join(json.dumps(one).encode() + b"\n" for one in SAMPLES)
        answer = caller.post("/v1/documents/batch", content=lines, headers={"Content-Type": "application/x-ndjson"})
        receipts = [json.loads(line) for line in answer.text.splitlines()]
        assert [one["outcome"] for one in receipts] == ["accepted"] * len(SAMPLES)
        for one in receipts:
            status = caller.get(
                f"/v1/collections/default/documents/{one['document_id']}", headers={"Prefer": "wait=60"}
            ).json()
            assert (status["state"], status["searchable"]) == ("indexed", True), status
        yield caller


def test_a_question_is_answered_in_one_request(caller: httpx.Client) -> None:
    """With the passage that answers first, and every number beside it."""
    body = {"text": "ibuprofen dosage for children"}
    answer = caller.post("/v1/queries", json=body, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    result = answer.json()["result"]
    assert (result["outcome"], result["kept"][0]["document_id"]) == ("answered", CHILDREN)
    why = caller.get(f"/v1/queries/{result['job_id']}/why", params={"document": "how-ibuprofen-works.md"}).json()
    assert why["fate"] == "below_floor"


def test_its_stages_are_heard_as_they_are_reached(caller: httpx.Client) -> None:
    """Each stage once, with the number of candidates, then the refusal as an answer; nothing is left to be asked."""
    job_id = caller.post("/v1/queries", json={"text": "how do I reset my router?"}).json()["job_id"]
    told: list[tuple[str, Any]] = []
    with caller.stream("GET", f"/v1/queries/{job_id}/events") as answer:
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told.append((name, json.loads(line.removeprefix("data: "))))
    states = [data["state"] for name, data in told if name == "stage"]
    assert states == ["queued", "retrieving", "retrieving", "reranking"]
    end = told[-1][1]
    assert (told[-1][0], end["state"], end["result"]["outcome"]) == ("end", "done", "refused")
    assert {data["candidates"] for _, data in told[2:-1]} == {end["result"]["candidates"]}
    moments = [data["elapsed_ms"] for name, data in told if name == "stage"]
    assert moments == sorted(moments)


def test_its_trace_can_be_judged_and_replayed(caller: httpx.Client) -> None:
    """The trace of what was asked this moment is there when it is opened, with texts; a floor above it refuses."""
    body = {"text": "how much ibuprofen may a child take?"}
    job = caller.post("/v1/queries", json=body, headers={"Prefer": "wait=60"}).json()
    wait_until(lambda: caller.get(f"/v1/traces/{job['job_id']}").status_code == 200, 30)
    opened = caller.get(f"/v1/traces/{job['job_id']}").json()
    first = opened["trace"]["candidates"][0]
    assert "ibuprofen" in opened["chunks"][first["chunk_id"]]["text"].lower()
    judged = caller.post("/v1/judgements", json={"job_id": job["job_id"], "chunk": "1", "relevant": True})
    assert judged.json()["chunk_id"] == first["chunk_id"]
    wait_until(lambda: listed(caller, job["job_id"]), 20.0)
    replay = caller.get("/v1/floor/replay", params={"floor": 1.0}).json()
    assert replay["answered_then"] == 0
    assert replay["newly_refused"] == replay["answered"] > 0


def listed(caller: httpx.Client, job_id: str) -> bool:
    """Return whether a query is in the list of traces."""
    return job_id in {one["job_id"] for one in caller.get("/v1/traces", params={"limit": 50}).json()["traces"]}


def test_the_queues_show_their_workers(caller: httpx.Client) -> None:
    """One worker of each role consumes, and nothing waits."""
    wait_until(lambda: all(one["consumers"] == 1 for one in queues(caller)), 30.0, lambda: str(queues(caller)))
    assert {one["name"]: one["depth"] for one in queues(caller) if one["name"] != "maintenance"} == {
        "intake": 0,
        "extract": 0,
        "index": 0,
        "retrieve": 0,
        "rerank": 0,
    }


def queues(caller: httpx.Client) -> list[dict[str, Any]]:
    """Return how the queues stand."""
    found: list[dict[str, Any]] = caller.get("/v1/queues").json()["queues"]
    return found


def test_many_callers_ask_at_once(gateway: Served, caller: httpx.Client) -> None:
    """Sixteen callers that wait each get the answer to their own question."""
    answers: dict[int, dict[str, Any]] = {}

    def ask(number: int) -> None:
        with gateway.http() as mine:
            body = {"text": f"ibuprofen dosage for children, question {number}", "timeout_s": 300}
            job = mine.post("/v1/queries", json=body, headers={"Prefer": "wait=60"}).json()
            while job["state"] not in TERMINAL_STATES:
                job = mine.get(f"/v1/queries/{job['job_id']}", headers={"Prefer": "wait=60"}).json()
            answers[number] = job

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: (job["state"], job["result"]["query"]) for number, job in answers.items()} == {
        number: ("done", f"ibuprofen dosage for children, question {number}") for number in range(16)
    }
