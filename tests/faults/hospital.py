"""A system whose workers break on demand in every thread, and how long each role then takes until it works again."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from second_opinion import Client
from second_opinion.pipeline.adapters.onnx_kernel import runner_count
from second_opinion.schemas.errors import OpinionError, UnknownDocument
from second_opinion.schemas.messages import AcceptDocuments
from second_opinion.workers.app import make_app
from second_opinion.workers.main import PREFORK_PROCESSES
from second_opinion.workers.queue import CeleryTaskQueue
from second_opinion.workers.routing import ACCEPT, EXTRACT, INDEX, RECONCILE, RERANK, RETRIEVE, Role
from tests.faults.faulty_worker import WITH_MODELS
from tests.faults.own_system import OwnSystem
from tests.faults.victims import WorkerProcess

ROOT: Final = Path(__file__).parents[2]
TASKS: Final[dict[Role, str]] = {
    "intake": ACCEPT,
    "extract": EXTRACT,
    "index": INDEX,
    "retrieve": RETRIEVE,
    "rerank": RERANK,
    "maintenance": RECONCILE,
}
PATIENCE_SECONDS: Final = 300.0
GIVE_SECONDS: Final = 1.0
SEND_AGAIN_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came of one fault in one role.

    Attributes:
        threads: How many threads did the fault.
        seconds: From the moment at which the last of them did until the first piece of work of that role that was begun
            after it was finished.
        started_again: Whether the supervisor had to start the worker again.
    """

    role: Role
    fault: str
    threads: int
    seconds: float
    started_again: bool


class Patient:
    """One role's worker that was told to break.

    Args:
        wanted: Threads that have to break before it counts as broken.
    """

    def __init__(self, role: Role, fault: str, worker: WorkerProcess, *, state: Path, wanted: int) -> None:
        self.role = role
        self._fault = fault
        self._worker = worker
        self._wanted = wanted
        self._starts = worker.starts
        self._log_begins = worker.log_file.stat().st_size
        native = fault in {"hang", "seize"} and role in WITH_MODELS
        self._order = state / (f"break-model-{role}" if native else f"break-{role}")
        self._told = state / f"{self._order.name}.done"
        self._order.write_text(f"{fault} {time.time()}", encoding="utf-8")

    def recovery(self) -> Recovery | None:
        """Return what came of it; None while it has not broken, or does not work again."""
        broke = self._broke()
        if len(broke) < self._wanted:
            return None
        # What had begun before may be finished by whoever is left; that is not to work again.
        finished = next((ended for begun, ended in self._done() if begun > broke[-1]), None)
        if finished is None:
            return None
        again = self._worker.starts > self._starts
        return Recovery(self.role, self._fault, len(broke), round(finished - broke[-1], 2), again)

    def tell(self) -> str:
        """Return how it stands, for whoever has waited in vain."""
        return f"{self.role}: {len(self._broke())} threads did {self._fault}: {self._worker.tail()}"

    def discharge(self) -> None:
        """Let it break no more."""
        self._order.unlink()
        self._told.unlink(missing_ok=True)

    def _broke(self) -> list[float]:
        try:
            return sorted(map(float, self._told.read_text(encoding="utf-8").split()))
        except FileNotFoundError:
            return []

    def _done(self) -> Iterator[tuple[float, float]]:
        """Yield when each piece of work was begun and finished (Unix seconds)."""
        with self._worker.log_file.open("rb") as log:
            log.seek(self._log_begins)
            for line in log.read().decode("utf-8", "replace").splitlines():
                if f'"{TASKS[self.role]}"' in line and '"task_done"' in line and (told := _read(line)):
                    ended = datetime.fromisoformat(told["timestamp"]).timestamp()
                    yield ended - told["milliseconds"] / 1_000, ended


class Hospital:
    """Breaks workers, gives them work, and starts again those that end, as a supervisor does."""

    def __init__(self, system: OwnSystem, client: Client) -> None:
        self._workers = system.workers
        self._settings = system.settings
        self._client = client
        self._queue = CeleryTaskQueue(make_app(system.settings))
        self._numbers = count()
        self._documents: list[str] = []
        self._by_name: list[str] = []
        self._jobs: list[str] = []

    def break_roles(self, fault: str, *roles: Role) -> list[Recovery]:
        """Let every thread of these roles' workers do a fault; return once each role has finished work again."""
        state, until = Path(self._settings.state_dir), time.monotonic() + PATIENCE_SECONDS
        patients = [
            Patient(role, fault, self._workers[role], state=state, wanted=self._threads(role, fault)) for role in roles
        ]
        found: dict[Role, Recovery] = {}
        self._give(roles, 2 * self._settings.worker_threads)
        next_at = time.monotonic() + GIVE_SECONDS
        while len(found) < len(patients):
            ill = [one for one in patients if one.role not in found]
            found |= {one.role: recovery for one in ill if (recovery := one.recovery())}
            assert time.monotonic() < until, "\n".join(one.tell() for one in ill)
            if time.monotonic() >= next_at:
                self._give([one.role for one in ill], 1)
                next_at = time.monotonic() + GIVE_SECONDS
            self._tend()
            time.sleep(POLL_SECONDS)
        for one in patients:
            one.discharge()
        return [found[role] for role in roles]

    def finish(self) -> None:
        """Wait until all that was given is done: documents are searchable and every query has a result."""
        until, sent_at = time.monotonic() + PATIENCE_SECONDS, 0.0
        while left := self._unfinished():
            assert time.monotonic() < until, f"work was not done: {left}"
            if time.monotonic() - sent_at > SEND_AGAIN_SECONDS:
                # Submitted is not yet accepted: what left with its thread is sent again.
                for name in filter(self._is_unknown, self._by_name):
                    self._send_by_name(name)
                sent_at = time.monotonic()
            self._tend()
            time.sleep(2 * POLL_SECONDS)
        for job_id in self._jobs:
            job = self._client.result(job_id)
            assert job.result is not None, f"query {job_id} is {job.state}: {job.error}"
        self._documents, self._by_name, self._jobs = [], [], []

    def _threads(self, role: Role, fault: str) -> int:
        """Return how many threads have to break: all that can, unless the first one takes the whole process along."""
        if fault in {"out_of_memory", "seize"}:
            return 1
        if role in PREFORK_PROCESSES:
            return PREFORK_PROCESSES[role]
        return runner_count() if fault == "hang" and role in WITH_MODELS else self._settings.worker_threads

    def _give(self, roles: Iterable[Role], pieces: int) -> None:
        for role in roles:
            for _ in range(pieces):
                self._give_one(role, f"{role}/{next(self._numbers)}")

    def _give_one(self, role: Role, name: str) -> None:
        if role == "intake":
            self._by_name.append(name)
            self._send_by_name(name)
        elif role in {"extract", "index"}:
            body = {"content": _text(name).encode()} if role == "extract" else {"text": _text(name)}
            self._client.submit_document(id=name, **body)
            self._documents.append(name)
        elif role in {"retrieve", "rerank"}:
            # Never the same question twice: its scores would be known.
            asked = f"Which shelf holds the ledger of {name}?"
            self._jobs.append(self._client.submit_query(asked, candidates=5, timeout=PATIENCE_SECONDS).job_id)

    def _send_by_name(self, name: str) -> None:
        self._queue.send(ACCEPT, AcceptDocuments(documents=({"id": name, "text": _text(name)},)))

    def _tend(self) -> None:
        for worker in self._workers.values():
            worker.tend()

    def _unfinished(self) -> list[str]:
        try:
            waiting = [one for one in (*self._documents, *self._by_name) if self._is_unknown(one, searchable=True)]
            return waiting + [one for one in self._jobs if not self._client.result(one).is_terminal]
        except OpinionError as problem:
            return [problem.message]

    def _is_unknown(self, name: str, *, searchable: bool = False) -> bool:
        try:
            status = self._client.document_status(name)
        except UnknownDocument:
            return True
        return searchable and not status.current


@contextmanager
def hospital(folder: Path, elasticsearch_url: str, told: Mapping[str, str]) -> Iterator[Hospital]:
    """Run a system whose workers break on demand, with documents to ask for."""
    # What a beat finds to do is told at this level when it is nothing.
    system = OwnSystem(folder, elasticsearch_url, told={"log_level": "DEBUG", **told}, name="hospital")
    for worker in system.workers.values():
        worker.module = "tests.faults.faulty_worker"
        worker.environment = {**worker.environment, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    with system.running() as client:
        made = Hospital(system, client)
        client.submit_document(id="first", text=_text("first"))
        client.wait_document("first", timeout=PATIENCE_SECONDS)
        yield made


def _text(name: str) -> str:
    shelves = (f"Shelf {number} holds the ledger of {name}. " * 12 for number in range(4))
    return "\n\n".join(shelves)


def _read(line: str) -> dict[str, Any] | None:
    """Return a log line about work that was done; None for one about work that was another's, or that came too late."""
    told: dict[str, Any] = json.loads(line)
    idle = "skipped" in told or "handover" in told or told.get("ending") == "not ours" or told.get("committed") == 0
    return None if idle else told
