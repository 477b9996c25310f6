"""Callers without the Python client: plain Celery, and plain Redis, as the how-to shows them."""

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from second_opinion import Client
from second_opinion.schemas.document import DocumentState
from second_opinion.schemas.errors import UnknownJob
from second_opinion.schemas.job import Job, JobState
from second_opinion.workers.routing import ACCEPT, SUBMIT_QUERY
from tests.integration.gateway.conftest import System, wait_until

pytestmark = pytest.mark.stack

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "from-another-language.md"
QUESTION = "ibuprofen dosage for children"


def test_by_task_name_from_any_producer(system: System, client: Client) -> None:
    """What a Celery that knows nothing of us sends has the same effect as what the client sends."""
    app = Celery(broker=system.environment["OPINION_BROKER_URL"])
    app.send_task(
        ACCEPT,
        queue="intake",
        args=[{"documents": [{"id": "by-name", "text": "The ferry leaves at noon."}, {"id": "bad"}]}],
    )
    assert client.wait_document("by-name", timeout=180.0).current
    wait_until(lambda: client.document_statuses([("default", "bad")]) != {}, 60)
    bad = client.document_status("bad")
    assert bad.state is DocumentState.FAILED
    assert bad.error is not None
    assert bad.error.hint
    app.send_task(SUBMIT_QUERY, queue="intake", args=[{"query": {"text": QUESTION, "job_id": "by-name-1"}}])
    wait_until(lambda: known(client, "by-name-1"), 60)
    assert client.wait("by-name-1", timeout=180.0).state is JobState.DONE
    app.send_task(ACCEPT, queue="intake", args=[{"deletions": [{"id": "by-name"}]}])
    wait_until(lambda: client.document_status("by-name").state is DocumentState.DELETED, 60)
    app.close()


def test_by_any_redis_client(system: System, client: Client) -> None:
    """The message that the how-to shows works as it stands there, and a result is read as it says."""
    shown = re.search(r"```json\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    message: dict[str, Any] = json.loads(shown.group(1))
    broker = Redis.from_url(system.environment["OPINION_BROKER_URL"])
    broker.lpush("intake", json.dumps(message))
    assert client.wait_document("1", timeout=180.0).current
    arguments = [[{"query": {"text": QUESTION, "job_id": "by-redis"}}], {}, {}]
    message["headers"]["task"] = SUBMIT_QUERY
    message["body"] = b64encode(json.dumps(arguments).encode()).decode()
    for place in (message["headers"], message["properties"]):
        place.update({name: "another-id" for name in ("id", "correlation_id", "delivery_tag") if name in place})
    broker.lpush("intake", json.dumps(message))
    wait_until(lambda: known(client, "by-redis"), 60)
    assert client.wait("by-redis", timeout=180.0).state is JobState.DONE
    jobs = Redis.from_url(system.environment["OPINION_JOBS_URL"], decode_responses=True)
    state, result, error = jobs.hmget(
        f"{system.environment['OPINION_INDEX_PREFIX']}:job:by-redis", ["state", "result", "error"]
    )
    assert (state, error) == ("done", None)
    assert json.loads(result or "")["outcome"] == "answered"
    broker.close()
    jobs.close()


def test_a_query_that_cannot_be_run_becomes_a_failed_job(system: System, client: Client) -> None:
    """Whoever asked under a name of their own hears what was wrong."""
    app = Celery(broker=system.environment["OPINION_BROKER_URL"])
    app.send_task(SUBMIT_QUERY, queue="intake", args=[{"query": {"text": " ", "job_id": "empty-1"}}])
    wait_until(lambda: known(client, "empty-1"), 60)
    job: Job = client.wait("empty-1", timeout=180.0)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "empty_query"
    app.close()


def known(client: Client, job_id: str) -> bool:
    try:
        return client.result(job_id).job_id == job_id
    except UnknownJob:
        return False
