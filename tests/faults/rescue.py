"""How long abandoned work waits: what a killed worker held, or Redis knew of, and when somebody took it up again."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from second_opinion import Client
from second_opinion.schemas.document import DocumentRecord, DocumentState
from second_opinion.schemas.errors import OpinionError, UnknownJob
from second_opinion.schemas.job import Job, JobState
from second_opinion.workers.routing import Role
from tests.faults.observe import Observer

POLL_SECONDS: Final = 0.25
STAGES: Final[dict[Role, JobState]] = {"retrieve": JobState.RETRIEVING, "rerank": JobState.RERANKING}


@dataclass(frozen=True, slots=True, eq=False)
class Abandoned:
    """One document or query that a killed worker held, or whose message was in a Redis that lost everything.

    Attributes:
        since: When that happened (monotonic seconds).
        victim: The worker's role, or `redis`.
        held: The record or the job as it was then.
    """

    since: float
    victim: str
    held: DocumentRecord | Job

    @property
    def key(self) -> str:
        """The key it is stored under."""
        return self.held.key if isinstance(self.held, DocumentRecord) else self.held.job_id

    @property
    def what(self) -> str:
        """Name it for a person."""
        return f"{self.victim} {self.held.document_id if isinstance(self.held, DocumentRecord) else self.held.job_id}"

    def is_noticed(self, now: DocumentRecord | Job | None) -> bool:
        """Whether the lease of the dead one is gone: it was sent again, or done. None is what is not there any more."""
        if isinstance(now, Job) and isinstance(self.held, Job):
            return now.owner != self.held.owner
        if isinstance(now, DocumentRecord) and isinstance(self.held, DocumentRecord):
            return now.lease_owner != self.held.lease_owner
        return True

    def is_rescued(self, now: DocumentRecord | Job | None) -> bool:
        """Whether somebody has taken it up again, or it was done."""
        if isinstance(now, Job) and isinstance(self.held, Job):
            taken = now.owner not in {"", self.held.owner}
            return now.is_terminal or taken or now.attempts > self.held.attempts
        if isinstance(now, DocumentRecord) and isinstance(self.held, DocumentRecord):
            moved_on = now.target != self.held.target or now.state is not DocumentState.RECEIVED
            return moved_on or now.attempts > self.held.attempts
        return True


class RescueWatch:
    """Notes what each kill abandons, and measures the time until it is noticed, and until it is worked on again.

    Attributes:
        noticed: Seconds until it was sent again. What follows is its wait behind what was sent before.
        seconds: Seconds until somebody worked on it again, or it was done.
    """

    def __init__(self, client: Client, observer: Observer) -> None:
        self.noticed: list[float] = []
        self.seconds: list[float] = []
        self._unnoticed: list[Abandoned] = []
        self._client = client
        self._observer = observer
        self._open: list[Abandoned] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> list[str]:
        """End; return what was never rescued."""
        self._stopping.set()
        self._thread.join()
        return [one.what for one in self._open]

    @property
    def pending(self) -> int:
        """How much is not rescued yet."""
        return len(self._open)

    def killed(self, role: Role, unfinished: Iterable[str]) -> int:
        """Note what the only worker of a role held when it was killed just now; return how much that is."""
        since, found = time.monotonic(), []
        if role in {"index", "extract"}:
            records = self._observer.leased(extraction=role == "extract")
            found = [Abandoned(since, role, one) for one in records]
        elif role in STAGES:
            with suppress(OpinionError):  # The store of jobs may be away; then what was held is not known.
                found = [Abandoned(since, role, one) for one in self._jobs(unfinished).values() if _is_at(role, one)]
        with self._lock:
            self._unnoticed += found
        return self._noted(found)

    def forgotten(self) -> int:
        """Note what waits now that Redis has lost every message, or is at work; return how much that is."""
        since = time.monotonic()
        return self._noted([Abandoned(since, "redis", one) for one in self._observer.received()])

    def _noted(self, found: Sequence[Abandoned]) -> int:
        assert self._thread.is_alive(), "nobody watches any more what becomes of abandoned work"
        with self._lock:
            self._open += found
        return len(found)

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            with suppress(OpinionError):
                self._look([*self._unnoticed], [*self._open])

    def _look(self, unnoticed: Sequence[Abandoned], still_open: Sequence[Abandoned]) -> None:
        now = self._now([*unnoticed, *still_open])
        noticed = {one for one in unnoticed if one.is_noticed(now.get(one.key))}
        rescued = {one for one in still_open if one.is_rescued(now.get(one.key))}
        with self._lock:
            self._unnoticed = [one for one in self._unnoticed if one not in noticed]
            self._open = [one for one in self._open if one not in rescued]
        self.noticed += [time.monotonic() - one.since for one in noticed]
        self.seconds += [time.monotonic() - one.since for one in rescued]

    def _now(self, watched: Sequence[Abandoned]) -> Mapping[str, DocumentRecord | Job]:
        """Return all that is watched as it is now; in few questions, since what is killed has to share the machine."""
        keys = {one.key for one in watched if isinstance(one.held, DocumentRecord)}
        seen = self._client.parts.stores.documents.get([*keys]) if keys else {}
        return {
            **{key: one.record for key, one in seen.items()},
            **self._jobs({one.key for one in watched if isinstance(one.held, Job)}),
        }

    def _jobs(self, ids: Iterable[str]) -> dict[str, Job]:
        found: dict[str, Job] = {}
        for job_id in ids:
            with suppress(UnknownJob):
                found[job_id] = self._client.result(job_id)
        return found


def _is_at(role: Role, job: Job) -> bool:
    return job.state is STAGES[role] and bool(job.owner)
