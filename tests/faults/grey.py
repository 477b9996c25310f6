"""Grey failure: the way to Redis or to Elasticsearch fails by halves, while callers call and workers work.

Every call of the client has to end in time, with a right answer or with a typed error; a query whose answer is known
may fail, but must never be refused because a part was down; and afterwards everything works again.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from ulid import ULID

from second_opinion import Client
from second_opinion.schemas.document import AcceptOutcome
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.job import Job
from second_opinion.schemas.verdict import Outcome
from second_opinion.workers.settings import Settings
from tests.faults import shelf
from tests.faults.own_system import OwnSystem
from tests.faults.victims import WorkerProcess
from tests.servers.gate import Fault, Gate

ALLOWED_SECONDS: Final = 1.0
"""How much later than its deadline a call may end."""
SETTLE_SECONDS: Final = 120.0
TICK_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 1.0
RUNNING: Final = 3
"""Queries that have begun when a fault comes."""
WORKS: Final = shelf.own_words(20)
CHOICES: Final[Mapping[str, Any]] = {"floor": 0.0, "candidates": 5}
TAKEN: Final = {AcceptOutcome.ACCEPTED, AcceptOutcome.UNCHANGED}

Call = Callable[[], None]
StepT = TypeVar("StepT")


@dataclass(slots=True)
class Grey:
    """What one fault came to.

    Attributes:
        server: Behind which gate.
        suffered: Pieces of data that the fault met.
        calls: By call, how many ended in which way.
        latest: By call, seconds beyond its deadline at the worst; negative where all were in time.
        late: Calls that ended too late, with the seconds.
        wrong: Answers that were not right, and errors that were not typed.
        queries: Jobs by their end.
        patient: Those by their end that had begun before the fault and had time to live through it.
        refused: Jobs that were refused.
        works_again: Seconds after the fault until a document and a query had passed through everything.
        stall: Longest time for which the machine let nothing of this process run.
    """

    server: str
    fault: str
    seconds: float
    suffered: int = 0
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    latest: dict[str, float] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    queries: Counter[str] = field(default_factory=Counter)
    patient: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    works_again: float = 0.0
    stall: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing went otherwise than promised, as far as the calls go."""
        return not (self.late or self.wrong or self.refused)

    def figures(self) -> dict[str, Any]:
        """Return all of it, and what stands for all calls together."""
        # Not `asdict`: it copies a Counter as if it were a list of pairs.
        whole = {one.name: getattr(self, one.name) for one in fields(self)}
        ends = sum(self.calls.values(), Counter[str]())
        return {
            **whole,
            "works_again": round(self.works_again, 2),
            "calls_made": ends.total(),
            "ends": ends,
            "latest_of_all": max(self.latest.values()),
        }


class Patient:
    """A system behind gates.

    Args:
        client: Goes through the gates, as all workers do.
        gates: By the name of the server behind each.
        workers: Started again when they end, as by a supervisor.
        wait_seconds: How long a waiter waits.
    """

    def __init__(
        self, client: Client, gates: Mapping[str, Gate], workers: list[WorkerProcess], wait_seconds: float
    ) -> None:
        self._client = client
        self._gates = gates
        self._workers = workers
        self._wait_seconds = wait_seconds
        self._made = len(WORKS)
        self._asked: list[str] = []
        self._taken_in = ""
        # Indices are made now, which takes longer than calls may later.
        begun = time.monotonic()
        self._insist(lambda: client.submit_documents([WORKS.payload(work, 1) for work in range(len(WORKS))]), begun)
        for work in range(len(WORKS)):
            self._insist(partial(self._searchable, shelf.name(work)), begun)
        self._known = self._insist(self._ask, begun)
        assert self._known.result is not None, self._known.error
        self._insist(lambda: client.evidence.trace(self._known.job_id), begun)

    def suffer(self, server: str, name: str, fault: Fault, seconds: float) -> Grey:
        """Let a fault last for so many seconds while every call is made over and over; return what came of it."""
        found, gate = Grey(server, name, seconds), self._gates[server]
        self._asked, self._taken_in = [], self._known.job_id
        patient = [self._submitted(WORKS.question(work)) for work in range(RUNNING)]
        over = threading.Event()
        callers = [_Caller(name, call, deadline, found, over) for name, (call, deadline) in self._calls().items()]
        pulse = threading.Thread(target=_feel, args=(found, over), daemon=True)
        gate.suffer(fault)
        try:
            for one in (*callers, pulse):
                one.start()
            self._tend(time.monotonic() + seconds)
            found.suffered = gate.suffered
        finally:
            gate.suffer(None)
            over.set()
        self._work_again(found)
        for one in (*callers, pulse):
            one.join(SETTLE_SECONDS)
            if one.is_alive():
                found.late.append(f"{one.name} hangs")
        self._count_queries(found, self._asked, found.queries)
        self._count_queries(found, patient, found.patient)
        return found

    def _calls(self) -> dict[str, tuple[Call, float]]:
        """Return each call, which raises `AssertionError` for a wrong answer, and its deadline in seconds."""
        client, deadline = self._client, self._client.call_seconds
        known = self._known.job_id
        return {
            "submit documents": (self._submit_document, deadline),
            "submit query": (self._submit_query, deadline),
            "result": (lambda: _same(client.result(known), self._known), deadline),
            "wait": (lambda: self._wait(self._taken_in), self._wait_seconds),
            "query": (self._query, self._wait_seconds),
            "status": (self._status, deadline),
            "list": (self._list, deadline),
            "trace": (lambda: _same(client.evidence.trace(known).job_id, known), deadline),
            "cancel": (lambda: _same(client.cancel(known), self._known), deadline),
        }

    def _submit_document(self) -> None:
        receipt = self._client.submit_document(WORKS.payload(0, 1))
        assert receipt.outcome in TAKEN, receipt

    def _submit_query(self) -> None:
        job_id = str(ULID())
        self._asked.append(job_id)
        job = self._client.submit_query(WORKS.question(1), job_id=job_id, timeout=self._wait_seconds, **CHOICES)
        assert job.job_id == job_id, job
        self._taken_in = job_id

    def _wait(self, job_id: str) -> None:
        assert self._client.wait(job_id, timeout=self._wait_seconds).job_id == job_id

    def _query(self) -> None:
        result = self._client.query(WORKS.question(2), timeout=self._wait_seconds, **CHOICES)
        assert result.outcome is Outcome.ANSWERED, result

    def _status(self) -> None:
        status = self._client.document_status(shelf.name(3))
        assert status.current, status

    def _list(self) -> None:
        listed = {one.document_id for one in self._client.documents()}
        assert {shelf.name(work) for work in range(len(WORKS))} <= listed, listed

    def _submitted(self, question: str) -> str:
        return self._client.submit_query(question, timeout=SETTLE_SECONDS, **CHOICES).job_id

    def _ask(self) -> Job:
        return self._ended(self._submitted(WORKS.question(0)))

    def _tend(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            for worker in self._workers:
                worker.tend()
            time.sleep(min(TICK_SECONDS, left))

    def _work_again(self, found: Grey) -> None:
        """Send a document nobody has seen yet and ask a question, until both have passed through everything."""
        begun = time.monotonic()
        self._made += 1
        payload = {**WORKS.payload(0, 1), "id": f"after/{self._made}"}
        for step in (partial(self._client.submit_document, payload), partial(self._searchable, payload["id"])):
            self._insist(step, begun)
        self._insist(lambda: self._answered(self._ask()), begun)
        found.works_again = time.monotonic() - begun

    def _insist(self, step: Callable[[], StepT], begun: float) -> StepT:
        while True:
            try:
                return step()
            except (OpinionError, AssertionError):
                if time.monotonic() - begun > SETTLE_SECONDS:
                    raise
            self._tend(time.monotonic() + TICK_SECONDS)

    def _searchable(self, document_id: str) -> None:
        assert self._client.document_status(document_id).current

    def _answered(self, job: Job) -> None:
        assert job.result is not None, job.error
        assert job.result.outcome is Outcome.ANSWERED

    def _count_queries(self, found: Grey, asked: Sequence[str], ends: Counter[str]) -> None:
        for job_id in asked:
            try:
                job = self._ended(job_id)
            except OpinionError as problem:
                ends[problem.code] += 1
                continue
            ends[job.result.outcome.value if job.result else job.error.code if job.error else job.state.value] += 1
            if job.result is not None and job.result.outcome is not Outcome.ANSWERED:
                found.refused.append(f"query {job_id}: {job.result.sentence}")

    def _ended(self, job_id: str) -> Job:
        """Wait for a job as long as it may take, starting workers again meanwhile: one that left rescues nothing."""
        until = time.monotonic() + SETTLE_SECONDS
        while not (job := self._client.wait(job_id, timeout=LOOK_SECONDS)).is_terminal and time.monotonic() < until:
            self._tend(time.monotonic() + TICK_SECONDS)
        return job


class _Caller(threading.Thread):
    """Makes one call over and over while a fault lasts, and notes how each ended and when."""

    def __init__(self, name: str, call: Call, deadline: float, found: Grey, over: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._call = call
        self._deadline = deadline
        self._found = found
        self._over = over
        found.calls[name] = Counter()
        found.latest[name] = -deadline

    def run(self) -> None:
        """Call."""
        while not self._over.is_set():
            begun = time.monotonic()
            ended = self._ended()
            beyond = time.monotonic() - begun - self._deadline
            self._found.calls[self.name][ended] += 1
            self._found.latest[self.name] = max(self._found.latest[self.name], round(beyond, 2))
            if beyond > ALLOWED_SECONDS + self._found.stall:
                self._found.late.append(f"{self.name}: {beyond:.2f} s beyond its deadline, {ended}")
            self._over.wait(TICK_SECONDS)

    def _ended(self) -> str:
        try:
            self._call()
        except OpinionError as problem:
            if problem.code == "internal_error":
                self._found.wrong.append(f"{self.name}: {problem}")
            return problem.code
        except Exception as problem:  # noqa: BLE001 - that nothing untyped comes is what is tested
            self._found.wrong.append(f"{self.name}: {type(problem).__name__}: {problem}"[:500])
            return type(problem).__name__
        return "answered"


def _feel(found: Grey, over: threading.Event) -> None:
    """Notice for how long the machine lets nothing run here: no call can end meanwhile."""
    while not over.is_set():
        begun = time.monotonic()
        time.sleep(TICK_SECONDS)
        found.stall = max(found.stall, round(time.monotonic() - begun - TICK_SECONDS, 2))


def _same(one: object, other: object) -> None:
    assert one == other, one


@contextmanager
def behind_gates(
    folder: Path, elasticsearch_url: str, told: Mapping[str, str], *, wait_seconds: float
) -> Iterator[Patient]:
    """Run a whole system whose every way to its servers leads through a gate."""
    with Gate(elasticsearch_url) as elasticsearch:
        system = OwnSystem(folder, elasticsearch.url, told=told, name="grey")
        with Gate(system.redis.url(0)) as redis:
            for database, name in enumerate(("broker_url", "jobs_url", "cache_url")):
                system.told[name] = redis.url.removesuffix("/0") + f"/{database}"
            system.settings = Settings.model_validate(system.told)
            system.workers = {role: WorkerProcess(role, folder, system.environment) for role in system.workers}
            with system.running() as client:
                gates = {"redis": redis, "elasticsearch": elasticsearch}
                yield Patient(client, gates, list(system.workers.values()), wait_seconds)
                with suppress(OSError):
                    redis.suffer(None)
