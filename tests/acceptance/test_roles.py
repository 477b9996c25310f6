"""Each role is scaled and stopped on its own: the others go on, and its work waits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from second_opinion import Client
from second_opinion.schemas.document import AcceptOutcome, DocumentState
from second_opinion.schemas.job import JobState
from second_opinion.workers.app import make_app
from second_opinion.workers.routing import ACCEPT, Role
from tests.acceptance.conftest import System, wait_until

TEXT = "The tide tables for the northern harbour are pinned beside the boat shed door every Friday morning."


@pytest.fixture(scope="module")
def running(system: System) -> System:
    """One worker of every role, and one searchable document."""
    system.start_all()
    with system.client() as client:
        client.submit_document(id="tides", text=TEXT)
        client.wait_document("tides", timeout=180.0)
    return system


@pytest.fixture
def client(running: System) -> Iterator[Client]:
    """A client of the running system."""
    with running.client() as made:
        yield made


@contextmanager
def without(running: System, role: Role) -> Iterator[None]:
    for worker in running.of(role):
        worker.stop()
    try:
        yield
    finally:
        running.start(role)


def test_without_rerank_queries_wait_and_ingest_goes_on(running: System, client: Client) -> None:
    """A query stops before the second opinion and is judged when the role is back."""
    with without(running, "rerank"):
        job = client.submit_query("when are the tide tables pinned?")
        wait_until(lambda: client.result(job.job_id).state is not JobState.QUEUED, 20)
        client.submit_document(id="without-rerank", text=TEXT + " A copy hangs in the harbour office.")
        client.wait_document("without-rerank", timeout=180.0)
        assert not client.result(job.job_id).is_terminal
    assert client.wait(job.job_id, timeout=180.0).state is JobState.DONE


def test_without_retrieve_queries_wait_in_their_queue(running: System, client: Client) -> None:
    """A query stays queued and is answered when the role is back."""
    with without(running, "retrieve"):
        job = client.submit_query("when are the tide tables pinned?")
        assert client.wait(job.job_id, timeout=1.5).state is JobState.QUEUED
    assert client.wait(job.job_id, timeout=180.0).state is JobState.DONE


def test_without_index_documents_wait_and_queries_go_on(running: System, client: Client) -> None:
    """An accepted document is recorded, not yet searchable; queries are answered meanwhile."""
    with without(running, "index"):
        receipt = client.submit_document(id="later", text="The lighthouse lamp is serviced in the second week of May.")
        assert receipt.outcome is AcceptOutcome.ACCEPTED
        assert client.query("when are the tide tables pinned?", timeout=180.0).candidates > 0
        assert client.document_status("later").state is DocumentState.RECEIVED
    client.wait_document("later", timeout=180.0)


def test_without_intake_the_client_still_accepts(running: System, client: Client) -> None:
    """What is sent by task name waits as submitted; the client's own documents are accepted without that role."""
    payload = {"documents": [{"id": "by-name", "text": "The ferry leaves from the eastern pier at noon."}]}
    with without(running, "intake"):
        make_app(running.settings).send_task(ACCEPT, args=[payload])
        client.submit_document(id="by-client", text="The ferry returns to the eastern pier at dusk.")
        client.wait_document("by-client", timeout=180.0)
    client.wait_document("by-name", timeout=180.0)


def test_without_extract_texts_are_not_held_up(running: System, client: Client) -> None:
    """Bytes wait for their extraction; a text beside them becomes searchable."""
    with without(running, "extract"):
        client.submit_document(id="bytes", content=b"The harbour master lives above the chandlery.")
        client.submit_document(id="text", text="The chandlery sells rope by the fathom.")
        client.wait_document("text", timeout=180.0)
        assert not client.document_status("bytes").current
    client.wait_document("bytes", timeout=180.0)


def test_without_maintenance_everything_healthy_goes_on(running: System, client: Client) -> None:
    """The reconciler only rescues: without it documents and queries go through."""
    with without(running, "maintenance"):
        client.submit_document(id="unreconciled", text="The buoys are painted green in spring.")
        client.wait_document("unreconciled", timeout=180.0)
        assert client.query("when are the tide tables pinned?", timeout=180.0).candidates > 0


@pytest.mark.parametrize("role", ["index", "rerank"])
def test_two_workers_of_a_role_share_the_load(running: System, client: Client, role: Role) -> None:
    """A second worker of a role takes its part of the messages."""
    if len(running.of(role)) < 2:
        running.start(role)
    before = [worker.log.count('"task_done"') for worker in running.of(role)]
    if role == "index":
        receipts = [
            client.submit_document(id=f"shared-{number}", text=f"Berth {number} is reserved for the pilot boat. {TEXT}")
            for number in range(40)
        ]
        assert len(client.wait_documents(receipts, timeout=180.0)) == 40
    else:
        jobs = [client.submit_query(f"who uses berth {number}?").job_id for number in range(30)]
        assert all(client.wait(job, timeout=180.0).state is JobState.DONE for job in jobs)
    done = [worker.log.count('"task_done"') - count for worker, count in zip(running.of(role), before, strict=True)]
    assert len(done) == 2
    assert min(done) > 0


def test_log_lines_tell_job_and_time(running: System) -> None:
    """Each task leaves one line of JSON with its name and how long it took."""
    lines = [
        json.loads(line) for worker in running.of("rerank") for line in worker.log.splitlines() if '"task_done"' in line
    ]
    assert lines
    assert all({"task", "milliseconds", "job"} <= set(line) for line in lines)
