"""The stages of a query as they are reached, over a real connection."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from second_opinion.gateway.http.routes import events
from second_opinion.schemas.job import Job, JobState
from second_opinion.testing.builders import a_result
from tests.acceptance.conftest import wait_until
from tests.integration.http.conftest import Served

pytestmark = pytest.mark.stack


def ask(served: Served) -> str:
    """Submit a question and return the id of its job."""
    with served.http() as caller:
        answer = caller.post("/v1/queries", json={"text": "who approves refunds?", "collection": "handbook"})
        job_id: str = answer.json()["job_id"]
        return job_id


def work(served: Served, job_id: str, pause: float = 0.3) -> None:
    """Do what the workers do, slowly enough that each step is seen."""
    jobs = served.app.state.gateway.parts.jobs
    time.sleep(pause)
    jobs.begin(job_id, JobState.RETRIEVING, owner="r", seconds=15.0)
    time.sleep(pause)
    jobs.release(job_id, owner="r", next_step="reranking", hands_over=True, candidates=87)
    time.sleep(pause)
    jobs.begin(job_id, JobState.RERANKING, owner="k", seconds=15.0)
    time.sleep(pause)
    jobs.finish(job_id, JobState.DONE, at=time.time(), result=a_result(job_id), owner="k")


def heard(answer: httpx.Response) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield id, name and data of each event, and comments under the name `comment`."""
    event: dict[str, str] = {}
    for line in answer.iter_lines():
        if line.startswith(":"):
            yield "", "comment", {}
        elif line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "event" in event:
            yield event.get("id", ""), event["event"], json.loads(event["data"])
            event = {}


def listen(served: Served, job_id: str, last: str | None = None) -> list[tuple[str, str, dict[str, Any]]]:
    """Follow a job to the end of its stream."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with served.http() as caller, caller.stream("GET", f"/v1/queries/{job_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(heard(answer))


def test_each_stage_is_heard_when_it_is_reached(served: Served) -> None:
    """Queued, retrieving, the candidates, reranking, and the end with the whole job, each within a moment."""
    job_id = ask(served)
    worker = threading.Thread(target=work, args=(served, job_id))
    times = []
    with served.http() as caller, caller.stream("GET", f"/v1/queries/{job_id}/events") as answer:
        worker.start()
        told = []
        for event in heard(answer):
            told.append(event)
            times.append(time.time())
    worker.join()
    assert [(number, name, data.get("state"), data.get("candidates")) for number, name, data in told] == [
        ("0", "stage", "queued", None),
        ("1", "stage", "retrieving", None),
        ("2", "stage", "retrieving", 87),
        ("3", "stage", "reranking", 87),
        ("end", "end", "done", None),
    ]
    late = [moment - data["at"] for moment, (_, name, data) in zip(times, told, strict=True) if name == "stage"]
    assert max(late[1:]) < 1.0
    elapsed = [data["elapsed_ms"] for _, name, data in told if name == "stage"]
    assert elapsed == sorted(elapsed)
    assert 250 < elapsed[1] < 5_000
    assert Job.model_validate(told[-1][2]).result == a_result(job_id)


def test_who_comes_late_or_again_hears_what_was_missed(served: Served) -> None:
    """All of it at once, or what follows the last event heard; after the end there is nothing to connect to."""
    job_id = ask(served)
    work(served, job_id, pause=0.0)
    assert [number for number, _, _ in listen(served, job_id)] == ["0", "1", "2", "3", "end"]
    assert [number for number, _, _ in listen(served, job_id, "2")] == ["3", "end"]
    assert [number for number, _, _ in listen(served, job_id, "99")] == ["end"]
    assert len(listen(served, job_id, "nonsense")) == 5
    with served.http() as caller:
        assert caller.get(f"/v1/queries/{job_id}/events", headers={"Last-Event-ID": "end"}).status_code == 204
        assert caller.get("/v1/queries/nobody/events").status_code == 404


def test_a_quiet_line_is_kept_open(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing happens a comment comes now and then, and what happens after it is heard."""
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.2)
    job_id = ask(served)
    worker = threading.Thread(target=work, args=(served, job_id, 0.7))
    worker.start()
    told = [name for _, name, _ in listen(served, job_id)]
    worker.join()
    assert told.count("comment") >= 4
    assert [name for name in told if name != "comment"] == ["stage"] * 4 + ["end"]


def test_who_hangs_up_leaves_nothing_behind(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher of a closed connection is gone without waiting for anything else to happen."""
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 600.0)
    job_id = ask(served)
    news = served.app.state.gateway.parts.jobs._news

    def watched() -> int:
        return sum(topic[1] == job_id for topic in list(news._watchers))

    with served.http() as caller:
        with caller.stream("GET", f"/v1/queries/{job_id}/events") as answer:
            # Held on to: who lets go of the lines hangs up.
            told = heard(answer)
            assert next(told)[1] == "stage"
            wait_until(lambda: watched() == 2, 20.0)
        wait_until(lambda: watched() == 0, 20.0, lambda: f"{watched()} left")


def test_an_expired_question_ends_its_stream(served: Served) -> None:
    """Nobody works on it, so it expires, and the stream says so."""
    with served.http() as caller:
        body = {"text": "who?", "collection": "handbook", "timeout_s": 0.5}
        job_id = caller.post("/v1/queries", json=body).json()["job_id"]
    told = listen(served, job_id)
    assert [(name, data["state"]) for _, name, data in told] == [("stage", "queued"), ("end", "expired")]


def test_a_gateway_that_is_stopped_sends_its_listeners_away(served: Served) -> None:
    """They hear a problem that may pass, and can connect again elsewhere."""
    job_id = ask(served)
    waiting = served.app.state.gateway.waiting
    with served.http() as caller, caller.stream("GET", f"/v1/queries/{job_id}/events") as answer:
        told = heard(answer)
        next(told)
        # The first event is told before anybody waits for the next.
        wait_until(lambda: bool(waiting._waits), 10)
        loop = next(iter(waiting._waits)).get_loop()
        loop.call_soon_threadsafe(waiting.stop)
        (last,) = [one for one in told if one[1] != "comment"]
    waiting.stopping = False
    assert (last[1], last[2]["code"], last[2]["transient"]) == ("problem", "gateway_stopping", True)
