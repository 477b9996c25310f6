"""Workers whose tasks run out of memory, leave, or hang in native code: each role works again, and no work is lost."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from second_opinion import Client
from second_opinion.schemas.errors import OpinionError, UnknownDocument
from second_opinion.schemas.messages import AcceptDocuments
from second_opinion.workers.app import make_app
from second_opinion.workers.queue import CeleryTaskQueue
from second_opinion.workers.routing import ACCEPT, ROLES
from tests.conftest import Servers
from tests.faults import shelf
from tests.faults.faulty_worker import FAULTS, WITH_MODELS
from tests.faults.storm import QUICK, Plan, Storm
from tests.faults.victims import WorkerProcess

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
AGAIN_SECONDS = 30.0
ENDS_ON_A_PATH = 2
PATIENCE_SECONDS = 300.0
SEND_AGAIN_SECONDS = 3.0
WORKS = shelf.own_words(400)


class Hospital:
    """A system whose workers break on demand and are started again by their supervisor, which is this.

    Attributes:
        start_seconds: How long workers take to start, here and now.
    """

    def __init__(self, storm: Storm, client: Client, start_seconds: float) -> None:
        self.start_seconds = start_seconds
        self.workers: list[WorkerProcess] = list(storm.workers.values())
        self._state = Path(storm.settings.state_dir)
        self._client = client
        self._queue = CeleryTaskQueue(make_app(storm.settings))
        self._works = iter(range(len(WORKS)))

    def order(self, fault: str) -> list[Path]:
        """Let every role break with its next work; return the files that tell that it has."""
        native = fault in {"hang", "seize"}
        names = [f"break-model-{role}" if native and role in WITH_MODELS else f"break-{role}" for role in ROLES]
        for name in names:
            (self._state / f"{name}.done").unlink(missing_ok=True)
            (self._state / name).write_text(fault, encoding="utf-8")
        return [self._state / f"{name}.done" for name in names]

    def work(self) -> None:
        """Give every role something to do and wait until all of it is done."""
        plain, by_name, as_bytes = (self._next(kind) for kind in ("plain", "by name", "bytes"))
        self._client.submit_documents([WORKS.payload(plain, 1), WORKS.payload(as_bytes, 1)])
        job_id = self._client.submit_query(WORKS.question(plain), candidates=5, timeout=120.0).job_id
        sent_at, until = 0.0, time.monotonic() + PATIENCE_SECONDS
        while not (self._are_searchable(plain, by_name, as_bytes) and self._client.result(job_id).is_terminal):
            if time.monotonic() - sent_at > SEND_AGAIN_SECONDS and not self._is_known(by_name):
                self._queue.send(ACCEPT, AcceptDocuments(documents=(WORKS.payload(by_name, 1),)))
                sent_at = time.monotonic()
            assert time.monotonic() < until, "work was not done"
            for worker in self.workers:
                worker.tend()
            time.sleep(0.1)
        job = self._client.result(job_id)
        assert job.result is not None, job.error

    def _next(self, kind: str) -> int:
        fits = {
            "plain": lambda work: not shelf.sent_by_name(work) and not shelf.sent_as_bytes(work),
            "by name": lambda work: shelf.sent_by_name(work) and not shelf.sent_as_bytes(work),
            "bytes": lambda work: shelf.sent_as_bytes(work) and not shelf.sent_by_name(work),
        }[kind]
        return next(work for work in self._works if fits(work))

    def _are_searchable(self, *works: int) -> bool:
        try:
            return all(self._client.document_status(shelf.name(work)).current for work in works)
        except OpinionError:
            return False

    def _is_known(self, work: int) -> bool:
        try:
            return bool(self._client.document_status(shelf.name(work)))
        except UnknownDocument:
            return False


@pytest.fixture(scope="module")
def hospital(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A system that works."""
    quick = {**QUICK, "stall_seconds": "4", "deaf_seconds": "5"}
    storm = Storm(Plan(WORKS, kills=0, times=quick), tmp_path_factory.mktemp("state"), servers.elasticsearch_url)
    for worker in storm.workers.values():
        worker.module = "tests.faults.faulty_worker"
        worker.environment = {**worker.environment, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    begun = time.monotonic()
    with storm.system() as (client, _):
        made = Hospital(storm, client, time.monotonic() - begun)
        made.work()
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_every_role_works_again(hospital: Hospital, fault: str) -> None:
    """All roles break in their next task; a query, and documents that pass through all of them, are done anyway."""
    told = hospital.order(fault)
    begun = time.monotonic()
    hospital.work()
    # A query passes through two roles with models, and on a busy machine the start of their workers is most of it.
    assert time.monotonic() - begun < AGAIN_SECONDS + ENDS_ON_A_PATH * hospital.start_seconds
    broken = [path.name for path in told if path.exists()]
    assert broken == [path.name for path in told], "a role did not break"
