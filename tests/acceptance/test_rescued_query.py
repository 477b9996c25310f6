"""SIGKILL and SIGSTOP in the middle of a query: it is answered all the same, once."""

import signal
import time

import pytest

from second_opinion import Client
from second_opinion.schemas.document import DocumentInput
from second_opinion.schemas.job import Job, JobState
from tests.acceptance.conftest import System, wait_until

RESCUE_SECONDS = 30.0


@pytest.fixture(scope="module")
def library(system: System) -> System:
    """A system with enough text that reranking takes a while, and without rerank workers."""
    system.start("maintenance", "index", "retrieve")
    with system.client() as client:
        rooms = [
            DocumentInput(
                id=f"room/{number}",
                title=f"Room {number}",
                text="\n\n".join(
                    f"Room {number}, shelf {shelf}. " + f"Ledger {shelf} of room {number} lists the tithes. " * 18
                    for shelf in range(4)
                ),
            )
            for number in range(40)
        ]
        assert all(one.searchable for one in client.wait_documents(client.submit_documents(rooms), timeout=120))
    for worker in system.of("index"):
        worker.stop()
    return system


def in_stage(system: System, client: Client, job_id: str, state: JobState) -> Job:
    """Wait until a worker has taken the job up in this stage."""
    wait_until(lambda: client.result(job_id).state is state and bool(client.result(job_id).owner), 30)
    return client.result(job_id)


def test_a_killed_worker_is_replaced_on_the_job(library: System) -> None:
    """A query in the hands of a killed rerank worker is answered by another one, well before its own deadline."""
    library.start("rerank")
    with library.client() as client:
        job_id = client.submit_query("Which ledger lists the tithes?", timeout=120.0, candidates=40).job_id
        lost = in_stage(library, client, job_id, JobState.RERANKING)
        library.of("rerank")[-1].kill()
        killed = time.monotonic()
        library.start("rerank")
        wait_until(lambda: client.result(job_id).owner not in {"", lost.owner}, RESCUE_SECONDS)
        assert time.monotonic() - killed < RESCUE_SECONDS
        job = client.wait(job_id, timeout=100.0)
    assert (job.state, job.losses, job.attempts) == (JobState.DONE, 1, 2)


def test_a_frozen_worker_that_thaws_changes_nothing(library: System) -> None:
    """Stopped while it held the job, and woken when another had answered: the answer stays, and it notices."""
    (frozen,) = library.of("rerank")
    with library.client() as client:
        job_id = client.submit_query("Which shelf has the tithes?", timeout=120.0, candidates=40).job_id
        in_stage(library, client, job_id, JobState.RERANKING)
        frozen.process.send_signal(signal.SIGSTOP)
        library.start("rerank")
        job = client.wait(job_id, timeout=100.0)
        assert (job.state, job.losses) == (JobState.DONE, 1)
        frozen.process.send_signal(signal.SIGCONT)
        # One that was frozen for longer than anything may hang leaves at once; any other hears that it is too late.
        late = ("lease_lost", '"code": "cancelled"')
        wait_until(lambda: frozen.process.poll() is not None or any(one in frozen.log for one in late), 30)
        assert client.result(job_id) == job
