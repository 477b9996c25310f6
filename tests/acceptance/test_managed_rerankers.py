"""Rerankers behind other servers, on a whole system: what they cost, what they are calibrated by, and how they fail.

`house` is a provider with Cohere's contract that serves the bundled model; `far` is one that fails on purpose.
"""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from second_opinion import Client
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.usage import DailyUsage
from second_opinion.schemas.verdict import CalibrationSource, Outcome
from second_opinion.workers.rerankers import open_breaker, open_usage
from second_opinion.workers.stores import open_elasticsearch
from tests.acceptance.conftest import System, wait_until
from tests.servers import faults, rerank_provider
from tests.servers.faults import KEY, Fault, FaultyProvider
from tests.servers.rerank_provider import RerankProvider
from tests.servers.web import Asked, Exchange

pytestmark = pytest.mark.stack

THRESHOLD = 200
ROOMS = 48
POLICY = {"timeout": 0.5, "retries": 1, "patience": 3.0, "base": 0.02, "cap": 0.05}
FACTS = {
    "ferry": ("The harbour ferry leaves the north pier every forty minutes.", "How often does the ferry leave?"),
    "bread": ("Rye bread is baked for an hour at two hundred degrees.", "How long is rye bread baked?"),
    "bees": ("The hives are inspected on the first warm day of April.", "When are the hives inspected?"),
    "kiln": ("The kiln needs nine hours to cool down.", "How many hours does the kiln need to cool?"),
    "boat": ("Rowing boats are lent against a deposit of twenty euros.", "What is the deposit for a rowing boat?"),
    "lamp": ("Turn the lamp of the projector to the left once it is cold.", "How is the projector's lamp taken out?"),
    "well": ("The old well behind the mill is eleven metres deep.", "How deep is the old well?"),
    "piano": ("The piano in the hall is tuned every October.", "In which month is the piano tuned?"),
}
UNANSWERED = ("Which embassy issues a visa for Bhutan?", "Where is the router's reset button?")
FAULTS: dict[str, tuple[Fault, str]] = {
    "busy": (faults.status(429, retry_after="1"), "rerank_unavailable"),
    "broken": (faults.status(500), "rerank_unavailable"),
    "a hang": (faults.hang, "rerank_unavailable"),
    "a dropped connection": (faults.drop, "rerank_unavailable"),
    "an empty body": (faults.text(""), "provider_answer_invalid"),
    "a web page": (faults.text("<html><body>Welcome</body></html>"), "provider_answer_invalid"),
    "a doubled index": (faults.spoiled(lambda items: [*items, items[0]]), "provider_answer_invalid"),
    "a missing index": (faults.spoiled(lambda items: items[1:]), "provider_answer_invalid"),
    "a score of NaN": (faults.scored(float("nan")), "provider_answer_invalid"),
    "a score of 7": (faults.scored(7), "provider_answer_invalid"),
    "a wrong key": (faults.status(401, {"message": f"no such token: {KEY}"}), "provider_refused"),
}


@dataclass(frozen=True)
class Managed:
    """A system with its two providers."""

    system: System
    client: Client
    house: RerankProvider
    far: FaultyProvider

    def ask(self, question: str, *, timeout: float = 20.0, **choices: Any) -> Job:
        """Ask, and return the job when it has ended."""
        job = self.client.submit_query(question, timeout=timeout, **choices)
        return self.client.wait(job.job_id, timeout=timeout + 2.0)


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[RerankProvider, FaultyProvider]]:
    """The bundled model behind Cohere's contract, and a provider that fails."""
    model = OnnxReranker.open(threads=1)
    with RerankProvider(model) as house, FaultyProvider() as far:
        yield house, far
    model.close()


@pytest.fixture(scope="module")
def running(system: System, providers: tuple[RerankProvider, FaultyProvider]) -> Iterator[Managed]:
    """Workers that serve both and the bundled one, and a few documents."""
    house, far = providers
    keys = {"HOUSE_KEY": rerank_provider.KEY, "FAR_KEY": KEY}
    definitions = {
        "house": {
            "kind": "cohere",
            "model": rerank_provider.MODEL,
            "secret": "HOUSE_KEY",
            "options": {"base_url": house.url, "max_tokens_per_doc": 512, "priority": 2, "batch": 4},
        },
        "far": {
            "kind": "cohere",
            "model": "rerank-far",
            "secret": "FAR_KEY",
            "options": {"base_url": far.url, "policy": POLICY},
        },
    }
    system.environment |= keys | {
        "OPINION_RERANKERS": json.dumps(definitions),
        "OPINION_RERANKER": "house",
        "OPINION_RERANKER_FALLBACKS": "far,bundled",
        "OPINION_BREAKER_THRESHOLD": str(THRESHOLD),
        "OPINION_BREAKER_COOL_DOWN": "600",
        "OPINION_MODEL_THREADS": "1",
        "OPINION_WORKER_THREADS": "16",
    }
    os.environ.update(keys)
    system.start("index", "retrieve", "rerank")
    with system.client() as client:
        sent = [client.submit_document(id=name, text=text) for name, (text, _) in FACTS.items()]
        client.wait_documents(sent, timeout=180.0)
        wait_until(lambda: len(client.parts.calibrations.rerankers()) == 3, 30)
        yield Managed(system, client, house, far)
    for name in keys:
        del os.environ[name]


@pytest.fixture
def managed(running: Managed) -> Managed:
    """The system with both providers well."""
    running.far.plan.clear()
    running.far.always = None
    open_breaker(running.system.settings).succeeded("far")
    return running


def test_every_fault_ends_its_job_in_time_and_the_worker_lives(managed: Managed) -> None:
    """Eleven queries at once, each with a fault of its own: a typed error each, and then an answer as ever."""

    def fault_of(exchange: Exchange, asked: Asked) -> None:
        name = asked.body["query"].removeprefix("Fault: ")
        FAULTS[name][0](exchange, asked) if name in FAULTS else faults.well(exchange, asked)

    managed.far.always = fault_of
    with ThreadPoolExecutor(len(FAULTS)) as callers:
        ended = callers.map(lambda name: managed.ask(f"Fault: {name}", reranker="far"), FAULTS)
        jobs = dict(zip(FAULTS, ended, strict=True))
    assert {name: (job.state, job.error and job.error.code) for name, job in jobs.items()} == {
        name: (JobState.FAILED, code) for name, (_, code) in FAULTS.items()
    }
    asked = [one.body["query"].removeprefix("Fault: ") for one in managed.far.asked]
    bought = {name: asked.count(name) for name, (_, code) in FAULTS.items() if code == "provider_answer_invalid"}
    assert set(bought.values()) == {2}
    assert asked.count("a wrong key") == 1
    answered = managed.ask(FACTS["kiln"][1], reranker="far").result
    assert answered is not None
    assert (answered.judged_by, answered.partial) == ("far", False)


def test_a_hang_does_not_outlive_the_deadline(managed: Managed) -> None:
    """A query with less time than the provider is given expires on time."""
    managed.far.always = faults.hang
    begun = time.monotonic()
    job = managed.ask("How often?", reranker="far", timeout=0.8)
    assert (job.state, job.error and job.error.code) == (JobState.EXPIRED, "deadline_exceeded")
    assert time.monotonic() - begun < 3.0


def test_waiting_ends_with_an_answer_or_with_the_deadline(managed: Managed) -> None:
    """Dead and then alive again: answered; never alive: expired, and the error says what was waited for."""
    managed.far.always = faults.status(500)
    with ThreadPoolExecutor(2) as callers:
        saved = callers.submit(managed.ask, FACTS["bees"][1], reranker="far", on_unavailable="wait", timeout=30.0)
        lost = managed.ask(FACTS["boat"][1], reranker="far", on_unavailable="wait", timeout=2.5)
        managed.far.always = None
        result = saved.result().result
    assert (lost.state, lost.error and lost.error.code) == (JobState.EXPIRED, "deadline_exceeded")
    assert result is not None
    assert (result.judged_by, result.outcome) == ("far", Outcome.ANSWERED)
    managed.far.always = faults.status(403)
    begun = time.monotonic()
    refused = managed.ask(FACTS["boat"][1], reranker="far", on_unavailable="wait", timeout=30.0)
    assert (refused.state, refused.error and refused.error.code) == (JobState.FAILED, "provider_refused")
    assert time.monotonic() - begun < 10.0


def test_the_command_line_tells_unjudged_from_failed(managed: Managed) -> None:
    """`fail` ends with 4 and the typed error, `fused` with 5, nothing kept, and the code of each refusal."""
    managed.far.always = faults.status(503)
    question = FACTS["kiln"][1]
    asked = ("query", question, "--reranker", "far")
    with ThreadPoolExecutor(2) as callers:
        failing = callers.submit(managed.system.opinion, *asked)
        fused = managed.system.opinion(*asked, "--on-unavailable", "fused", "--json")
        failed = failing.result()
    assert (failed.returncode, "hint:" in failed.stderr) == (4, True)
    assert fused.returncode == 5, fused.stderr
    result = json.loads(fused.stdout)["result"]
    assert (result["reranked"], result["outcome"], result["kept"]) == (False, "unjudged", [])
    assert result["unavailable_because"] == {"far": "rerank_unavailable"}
    assert len(result["unscored"]) == len(FACTS)


def test_the_next_reranker_judges_and_the_cost_of_both_is_told(managed: Managed) -> None:
    """A garbled answer that was billed and the whole of a split list are in the result, in the trace, and by day."""
    before = {one.name: one for one in spent_today(managed)}
    billed = {"results": [], "meta": {"billed_units": {"search_units": 1}}}
    managed.far.always = faults.status(200, billed)
    job = managed.ask(FACTS["kiln"][1], reranker="far,house", candidates=len(FACTS))
    result = job.result
    assert result is not None
    assert (result.judged_by, result.unavailable_because) == ("house", {"far": "provider_answer_invalid"})
    spent = {one.name: (one.reranker, one.requests, one.search_units, one.unusable) for one in result.usage}
    assert spent == {
        "far": (f"rerank-far@{managed.far.url.removeprefix('http://')}/v2", 1, 1.0, 1),
        "house": (result.reranker, 2, 2.0, 0),
    }
    trace = managed.client.evidence.trace(job.job_id)
    assert trace.usage == result.usage
    after = {one.name: one for one in spent_today(managed)}
    assert after["far"].search_units - (before["far"].search_units if "far" in before else 0.0) == 1.0
    told = managed.system.opinion("usage", "--days", "1", "--json")
    assert json.loads(told.stdout)["totals"]["house"]["requests"] == after["house"].requests
    sent = managed.house.asked[-1].body
    assert (sent["model"], sent["max_tokens_per_doc"], sent["priority"]) == (rerank_provider.MODEL, 512, 2)


def spent_today(managed: Managed) -> list[DailyUsage]:
    return open_usage(managed.system.settings).read(1)


def test_a_managed_reranker_is_calibrated_for_a_collection(managed: Managed, tmp_path: Path) -> None:
    """Uncalibrated before; then its own curve makes relevance of its scores, and the bundled one's stays as it was."""
    folder = tmp_path / "island"
    folder.mkdir()
    asked = [(key, question) for key, (_, question) in FACTS.items()] + [(f"u{n}", q) for n, q in enumerate(UNANSWERED)]
    rows = {
        "corpus.jsonl": [json.dumps({"id": key, "title": "", "text": text}) for key, (text, _) in FACTS.items()],
        "queries.jsonl": [json.dumps({"id": f"q-{key}", "text": text, "split": "train"}) for key, text in asked],
        "qrels.tsv": [f"q-{key}\t{key}\t1" for key in FACTS],
    }
    for name, lines in rows.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    question = FACTS["kiln"][1]
    before = managed.ask(question, reranker="house").result
    assert before is not None
    assert (before.calibrated, before.calibration) == (False, CalibrationSource.NONE)
    command = ("calibrate", str(folder), "-c", "default", "--reranker", "house", "--force", "--json")
    done = managed.system.opinion(*command)
    assert done.returncode == 0, done.stderr
    artefact = json.loads(done.stdout)["proposal"]["artefact"]
    assert (artefact["key"]["backend"], artefact["key"]["model"]) == ("cohere", rerank_provider.MODEL)
    stored = managed.client.parts.calibrations.get(artefact["id"])
    assert stored is not None
    after = managed.ask(question, reranker="house", floor=0.0).result
    assert after is not None
    assert (after.calibrated, after.calibration) == (True, CalibrationSource.COLLECTION)
    assert after.calibration_id == artefact["id"]
    assert [one.relevance for one in after.kept] == [stored.curve.relevance(one.raw_score) for one in after.kept]
    bundled = managed.ask(question, reranker="bundled").result
    assert bundled is not None
    assert (bundled.judged_by, bundled.calibration) == ("bundled", CalibrationSource.SHIPPED)


def test_an_open_breaker_spares_the_provider(managed: Managed) -> None:
    """What this process counts, the worker heeds: it does not call, and the next reranker judges at once."""
    breaker = open_breaker(managed.system.settings)
    for _ in range(THRESHOLD):
        breaker.failed("far")
    asked = len(managed.far.asked)
    result = managed.ask(FACTS["kiln"][1], reranker="far,house").result
    assert result is not None
    assert (result.judged_by, len(managed.far.asked)) == ("house", asked)
    assert result.unavailable_because == {"far": "rerank_unavailable"}


def test_a_deadline_gives_a_part_of_the_answer(managed: Managed) -> None:
    """Through the command line: what was read in time is judged, the rest is unscored and never kept."""
    body = " ".join(f"Shelf {shelf} holds the ledgers of the harbour master." for shelf in range(14))
    sent = [
        managed.client.submit_document(id=f"room-{number}", text=f"Room {number}. {body}", collection="rooms")
        for number in range(ROOMS)
    ]
    managed.client.wait_documents(sent, timeout=120)
    choices = {"collection": "rooms", "candidates": ROOMS, "floor": 0.0, "reranker": "bundled"}
    whole = managed.ask("Where are the ledgers?", timeout=120, **choices).result
    assert whole is not None
    # As long as retrieval takes and half of the reading; a busy machine may need another guess.
    milliseconds = whole.milliseconds["total"] - whole.milliseconds["rerank"] / 2
    for guess in range(5):
        told = managed.system.opinion(
            *("query", f"Which shelf holds ledger {guess}?", "-c", "rooms", "--reranker", "bundled", "--floor", "0"),
            *("--candidates", str(ROOMS), "--deadline-ms", str(round(milliseconds)), "--json"),
        )
        result = json.loads(told.stdout)["result"] if told.returncode in {0, 3} else None
        if result is not None and result["partial"]:
            break
        milliseconds *= 1.3 if result is None else 0.75
    else:
        pytest.fail(f"no deadline left a part; the last was {milliseconds:.0f} ms: {told.stderr}")
    assert 0 < result["scored"] < result["candidates"] == ROOMS
    assert result["scored"] == len(result["kept"]) + len(result["dropped"])
    assert len(result["unscored"]) == ROOMS - result["scored"]
    assert {one["decision"] for one in result["unscored"]} == {"unscored"}


def test_a_question_beyond_the_models_is_flagged(managed: Managed) -> None:
    """Both models say how far they read; of a provider nobody knows."""
    question = f"{FACTS['kiln'][1]} {'It stands behind the mill. ' * 60}"
    local = managed.ask(question, reranker="bundled").result
    assert local is not None
    assert local.query_truncated
    assert 0 < local.query_tokens_read["reranker"] < local.query_tokens_read["embedder"]
    far = managed.ask(question, reranker="house").result
    assert far is not None
    assert list(far.query_tokens_read) == ["embedder"]


def test_the_key_is_told_nowhere(managed: Managed) -> None:
    """Not in a log, a trace, a job or an error, though the provider repeats it: it was sent, and is nowhere else."""
    managed.far.always = faults.status(401, {"message": f"no such token: {KEY}"})
    failed = managed.ask("Where is the key?", reranker="far")
    judged = managed.ask("Where is the key?", reranker="far,house")
    unjudged = managed.ask("Where is the key?", reranker="far", on_unavailable="fused")
    assert managed.far.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    managed.client.evidence.trace(judged.job_id)
    connection = open_elasticsearch(managed.system.settings).connection
    prefix = managed.system.settings.index_prefix
    connection.writes.indices.refresh(index=f"{prefix}-*")
    stored = connection.reads.search(index=f"{prefix}-*", size=1_000)["hits"]["hits"]
    connection.close()
    assert any(one["_id"] == judged.job_id for one in stored)
    logs = [worker.log for worker in managed.system.workers]
    assert any("provider_refused" in log for log in logs)
    jobs = [job.model_dump_json() for job in (failed, judged, unjudged)]
    told = managed.system.opinion("query", "Where is the key?", "--reranker", "far")
    refusal = open_breaker(managed.system.settings).state("far").refusal
    assert "no such token: [key]" in refusal
    everything = [*logs, *jobs, json.dumps(stored, default=str), told.stdout, told.stderr, refusal]
    assert all(KEY not in text and rerank_provider.KEY not in text for text in everything)
