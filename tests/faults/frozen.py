"""A worker that stands still in the middle of its work, is taken for dead, and thaws: it changes nothing then."""

import hashlib
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Final

import redis
from celery import Celery

from second_opinion import Client
from second_opinion.schemas.document import DocumentInput, DocumentRecord, DocumentState
from second_opinion.schemas.job import Job, JobState
from second_opinion.workers.routing import ACCEPT, ROLES, Role
from tests.acceptance.conftest import System, Worker, wait_until

FROZEN: Final[tuple[Role, ...]] = ("intake", "extract", "index", "retrieve", "rerank")
DOCUMENTS: Final = 120
FILES: Final = 80
MESSAGES: Final = 200
QUERIES: Final = 16
PATIENCE_SECONDS: Final = 240.0
LOOKS: Final = 20
BETWEEN_LOOKS_SECONDS: Final = 0.01
AFTER_THAW_SECONDS: Final = 12.0
TRIES: Final = 6


@dataclass(slots=True)
class Thaw:
    """What came of one freeze.

    Attributes:
        held: Pieces of work that the worker held while it stood still.
        stood_still: Seconds.
        survived: Whether its process went on; one that stood still for longer than anything may hang ends at once.
        changed: What was otherwise after it thawed than before.
    """

    role: Role
    held: int
    stood_still: float
    survived: bool
    changed: list[str] = field(default_factory=list)


class Freezer:
    """Freezes workers of a system that runs one worker of each role.

    Args:
        system: The system.
        seconds: How long a worker stands still at the least; longer than any lease.
    """

    def __init__(self, system: System, seconds: float) -> None:
        self._system = system
        self._seconds = seconds
        self._round = 0
        self._jobs: list[str] = []
        self._names: list[str] = []

    def freeze(self, role: Role) -> Thaw:
        """Freeze the worker of a role while it holds work, let another do all of it, and thaw the first."""
        with self._system.client() as client:
            worker, held = self._with_work_in_hands(role, client)
            stopped = time.monotonic()
            (other,) = self._system.start(role)
            try:
                wait_until(lambda: self._is_done(client), PATIENCE_SECONDS, lambda: other.log[-2_000:])
                time.sleep(max(0.0, self._seconds - (time.monotonic() - stopped)))
                before = self._state(client)
                stood_still = time.monotonic() - stopped
            finally:
                self._signal(worker, signal.SIGCONT)
            time.sleep(AFTER_THAW_SECONDS)
            after = self._state(client)
            survived = worker.process.poll() is None
            worker.kill() if survived else worker.process.wait()
            changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
            return Thaw(role, held, stood_still, survived, sorted(changed))

    def _with_work_in_hands(self, role: Role, client: Client) -> tuple[Worker, int]:
        """Give work and stop the worker; again, if it held nothing at that moment."""
        (worker,) = self._system.of(role)
        for _ in range(TRIES):
            self._round += 1
            self._give_work(role, client)
            until = time.monotonic() + PATIENCE_SECONDS
            while not (held := self._stopped_with(worker, role, client)) and not self._is_done(client):
                assert time.monotonic() < until, f"not done within {PATIENCE_SECONDS:.0f} s"
            if held:
                return worker, held
        raise AssertionError(f"{role} held nothing whenever it was stopped")

    def _stopped_with(self, worker: Worker, role: Role, client: Client) -> int:
        """Stop the worker and look what it holds, some times, since a query is in its hands for an instant only."""
        for _ in range(LOOKS):
            self._signal(worker, signal.SIGSTOP)
            if held := self._held(role, client):
                return held
            self._signal(worker, signal.SIGCONT)
            time.sleep(BETWEEN_LOOKS_SECONDS)
        return 0

    def _signal(self, worker: Worker, which: signal.Signals) -> None:
        """Send it to the worker and its children: those of `extract` do its work."""
        os.killpg(worker.process.pid, which)

    def _give_work(self, role: Role, client: Client) -> None:
        if role == "index":
            names = [f"frozen/{self._round}/{number}" for number in range(DOCUMENTS)]
            client.submit_documents([DocumentInput(id=name, text=_text(name)) for name in names])
            self._names += names
        elif role == "extract":
            names = [f"file/{self._round}/{number}" for number in range(FILES)]
            client.submit_documents([{"id": name, "content": f"File {name}.".encode()} for name in names])
            self._names += names
        elif role == "intake":
            self._names += self._send_by_name()
        else:
            # Never the same question twice: its scores would be known.
            asked = [f"Which shelf is number {one} of {role} {self._round}?" for one in range(QUERIES)]
            self._jobs += [client.submit_query(one, timeout=900.0, candidates=40).job_id for one in asked]

    def _send_by_name(self) -> list[str]:
        app, names = Celery(broker=self._system.environment["OPINION_BROKER_URL"]), []
        for number in range(MESSAGES):
            name = f"by-name/{self._round}/{number}"
            document = {"id": name, "text": f"Note {name}.", "source_version": self._round}
            app.send_task(ACCEPT, queue="intake", args=[{"documents": [document]}])
            names.append(name)
        app.close()
        return names

    def _held(self, role: Role, client: Client) -> int:
        if role in {"extract", "index"}:
            leased = [record for record in self._records().values() if record.lease_owner is not None]
            return sum(record.needs_extraction is (role == "extract") for record in leased)
        if role == "intake":
            broker: Any = redis.Redis.from_url(self._system.environment["OPINION_BROKER_URL"])
            return sum(int(broker.hlen(key)) for key in broker.scan_iter(match="unacked.intake:*"))
        state = JobState.RETRIEVING if role == "retrieve" else JobState.RERANKING
        return sum(job.state is state and bool(job.owner) for job in self._told(client))

    def _told(self, client: Client) -> list[Job]:
        return [client.result(one) for one in self._jobs]

    def _records(self) -> dict[str, DocumentRecord]:
        with self._system.stores() as stores:
            found = stores.documents.listed("default", state=None, after=None, limit=10_000)
        return {one.document_id: one for one in found}

    def _is_done(self, client: Client) -> bool:
        records = self._records()
        indexed = all(name in records and records[name].state is DocumentState.INDEXED for name in self._names)
        return indexed and all(job.is_terminal for job in self._told(client))

    def _state(self, client: Client) -> dict[str, str]:
        """Return a hash of everything by name: records whole, jobs whole."""
        records = {name: record.model_dump_json() for name, record in self._records().items()}
        jobs = {job.job_id: job.model_dump_json() for job in self._told(client)}
        return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in {**records, **jobs}.items()}


def _text(name: str) -> str:
    return "\n\n".join(f"{name}, shelf {shelf}: " + "it holds ledgers of the harbour. " * 12 for shelf in range(6))


def start_all(system: System) -> None:
    """Start one worker of each role and let something be there to be asked for."""
    system.start(*ROLES)
    with system.client() as client:
        shelves = [DocumentInput(id=f"shelf/{number}", text=_text(f"Shelf {number}")) for number in range(30)]
        assert all(one.searchable for one in client.wait_documents(client.submit_documents(shelves), timeout=180))
