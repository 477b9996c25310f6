"""A system under steady load: queries that come by the clock, documents that change, workers that are replaced.

Queries come at a share of what the system can do, whether the ones before are answered or not, and each one's time
counts from the moment at which it was due.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import psutil
import redis

from second_opinion import Client
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.messages import AcceptDocuments
from second_opinion.workers.app import make_app
from second_opinion.workers.queue import CeleryTaskQueue
from second_opinion.workers.routing import ACCEPT, Role
from tests.faults.own_system import OwnSystem
from tests.faults.slopes import slopes
from tests.faults.victims import STOP_SECONDS, WorkerProcess

MEGABYTE: Final = 1024 * 1024
CALLERS: Final = 24
CANDIDATES: Final = 20
DOCUMENTS: Final = 60
QUERY_SECONDS: Final = 120.0
CHANGE_SECONDS: Final = 2.0
GROWTH: Final = 0.05
"""Share of its mean by which something may grow in an hour and still count as flat."""


@dataclass(slots=True)
class Asked:
    """What became of the queries of one phase.

    Attributes:
        seconds: Of each that was answered, from the moment at which it was due.
        failed: The others, with what was heard.
    """

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A worker that was asked to stop once its successor consumed."""

    role: Role
    seconds: float
    exit_status: int


class Soak:
    """Load on a system, and what is sampled of it meanwhile.

    Args:
        system: The system, running.
        client: Its client; queries and documents go straight to the servers.
        callers: Most queries that are under way at once.
        candidates: Passages that each of them has read.
    """

    def __init__(
        self, system: OwnSystem, client: Client, *, callers: int = CALLERS, candidates: int = CANDIDATES
    ) -> None:
        self.samples: list[dict[str, float]] = []
        self.replaced: list[Replaced] = []
        self.changes: Counter[str] = Counter()
        self._system = system
        self._client = client
        self._callers = callers
        self._candidates = candidates
        self._queue = CeleryTaskQueue(make_app(system.settings))
        self._numbers = count()
        self._begun = time.monotonic()

    def fill(self) -> None:
        """Send documents to ask for, and wait for them."""
        receipts = self._client.submit_documents([_document(number, 0) for number in range(DOCUMENTS)])
        settled = self._client.wait_documents(receipts, timeout=QUERY_SECONDS)
        assert all(one.searchable for one in settled), settled

    def capacity(self, seconds: float) -> float:
        """Return how many queries a second are answered when callers ask one after the other, without a pause."""
        over = time.monotonic() + seconds
        asked = self._ask(lambda: time.monotonic() if time.monotonic() < over else None)
        assert not asked.failed, asked.failed[:3]
        return len(asked.seconds) / seconds

    def under_load(self, rate: float, body: Callable[[], object]) -> Asked:
        """Let queries come at a rate (a second) and documents change until `body` is done; return what came of them."""
        stopping, begun, places = threading.Event(), time.monotonic(), count()
        lock = threading.Lock()

        def due() -> float | None:
            with lock:
                at = begun + next(places) / rate
            return None if stopping.wait(max(0.0, at - time.monotonic())) else at

        asked = Asked()
        asking = threading.Thread(target=lambda: self._ask(due, asked))
        changing = threading.Thread(target=self._change, args=(stopping,))
        for thread in (asking, changing):
            thread.start()
        try:
            body()
        finally:
            stopping.set()
            for thread in (asking, changing):
                thread.join()
        return asked

    def replace(self, role: Role) -> None:
        """Start another worker of a role; once it consumes, ask the first one to stop, and wait for its end."""
        old = self._system.workers[role]
        new = WorkerProcess(role, old.folder, old.environment, starts=old.starts)
        self._system.workers[role] = new
        try:
            new.start()
            new.wait_ready()
        finally:
            begun = time.monotonic()
            old.stop()
        assert old.process is not None
        self.replaced.append(Replaced(role, round(time.monotonic() - begun, 1), old.process.returncode))

    def roll(self, roles: Sequence[Role], seconds: float, every: float) -> None:
        """Replace a worker of each role in turn, one every so many seconds."""
        begun, place = time.monotonic(), 0
        while time.monotonic() < begun + seconds:
            self.replace(roles[place % len(roles)])
            place += 1
            time.sleep(max(0.0, begun + place * every - time.monotonic()))

    def watch(self, seconds: float, every: float) -> None:
        """Sample what processes and Redis hold, for so long."""
        begun = time.monotonic()
        for place in count():
            time.sleep(max(0.0, begun + place * every - time.monotonic()))
            if time.monotonic() > begun + seconds:
                return
            self.samples.append(self._sample())

    def settled(self, *, after: float) -> list[dict[str, float]]:
        """Return the samples, the first `after` seconds of them left out."""
        first = self.samples[0]["seconds"] + after
        return [one for one in self.samples if one["seconds"] >= first]

    def _ask(self, due: Callable[[], float | None], asked: Asked | None = None) -> Asked:
        """Let callers ask whenever a query is due, until none is any more."""
        told, lock = asked or Asked(), threading.Lock()

        def run() -> None:
            while (at := due()) is not None:
                problem = self._query()
                with lock:
                    if problem is None:
                        told.seconds.append(time.monotonic() - at)
                    else:
                        told.failed.append(problem)

        callers = [threading.Thread(target=run) for _ in range(self._callers)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        return told

    def _query(self) -> str | None:
        """Ask once; return why there was no answer."""
        number = next(self._numbers)
        asked = f"Who keeps the ledger of room {number % DOCUMENTS}, and what is entered on line {number}?"
        try:
            job = self._client.submit_query(asked, candidates=self._candidates, timeout=QUERY_SECONDS)
            job = self._client.wait(job.job_id, timeout=QUERY_SECONDS)
        except OpinionError as problem:
            return f"{problem.code}: {problem.message}"
        return None if job.result is not None else f"{job.state.value}: {job.error}"

    def _change(self, stopping: threading.Event) -> None:
        """Send a new version of a document every other second: as text, as bytes, and by task name."""
        for version in count(1):
            if stopping.wait(CHANGE_SECONDS):
                return
            payload = _document(version % DOCUMENTS, version)
            try:
                if version % 3 == 0:
                    self._queue.send(ACCEPT, AcceptDocuments(documents=(payload,)))
                else:
                    text = payload.pop("text")
                    body = {"text": text} if version % 3 == 1 else {"content": text.encode()}
                    self._client.submit_document(**payload, **body)
                self.changes["sent"] += 1
            except OpinionError as problem:
                self.changes[problem.code] += 1

    def _sample(self) -> dict[str, float]:
        sample = {"seconds": time.monotonic() - self._begun}
        for role, worker in self._system.workers.items():
            assert worker.process is not None
            parent = psutil.Process(worker.process.pid)
            family = [parent, *parent.children(recursive=True)]
            sample[f"{role} resident MB"] = sum(one.memory_info().rss for one in family) / MEGABYTE
            sample[f"{role} descriptors"] = sum(one.num_fds() for one in family)
            sample[f"{role} threads"] = sum(one.num_threads() for one in family)
        store: Any = redis.Redis.from_url(self._system.settings.jobs_url.get_secret_value())
        told = store.info()
        sample["redis keys"] = sum(one["keys"] for name, one in told.items() if name.startswith("db"))
        sample["redis MB"] = told["used_memory"] / MEGABYTE
        sample["redis clients"] = told["connected_clients"]
        store.close()
        return sample


def growing(samples: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the names of what surely grows, and does in both halves of the time.

    A connection that is opened when it is first needed and kept is a step; what leaks goes on.
    """
    middle = len(samples) // 2
    halves = slopes(samples[:middle]), slopes(samples[middle:])
    return [
        name
        for name, one in slopes(samples).items()
        if one.is_growing(GROWTH) and all(half[name].per_hour > GROWTH * half[name].mean for half in halves)
    ]


def ended_late(replaced: Sequence[Replaced]) -> list[Replaced]:
    """Return the workers that did not end by themselves when they were asked to."""
    return [one for one in replaced if one.exit_status != 0 or one.seconds >= STOP_SECONDS]


def _document(number: int, version: int) -> dict[str, Any]:
    line = f"The ledger of room {number} is kept by the warden of shelf {number % 7}; this is copy {version} of it. "
    return {"id": f"room/{number}", "text": "\n\n".join(f"Page {page}. {line * 6}" for page in range(4))}
