"""How long abandoned work waits: what a killed worker held, and when somebody took it up again."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from second_opinion import Client
from second_opinion.pipeline.ports import DocumentStore
from second_opinion.schemas.document import DocumentRecord, DocumentState
from second_opinion.schemas.errors import OpinionError, UnknownJob
from second_opinion.schemas.job import JobState
from second_opinion.workers.routing import Role
from tests.faults.observe import Observer

POLL_SECONDS: Final = 0.25
STAGES: Final[dict[Role, JobState]] = {"retrieve": JobState.RETRIEVING, "rerank": JobState.RERANKING}


@dataclass(frozen=True, slots=True)
class Abandoned:
    """One document or query that a killed worker held.

    Attributes:
        is_noticed: Whether the lease of the dead one is gone: it was sent again, or done.
        is_rescued: Whether somebody has taken it up again, or it was done.
    """

    since: float
    what: str
    is_noticed: Callable[[], bool]
    is_rescued: Callable[[], bool]


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

    def killed(self, role: Role, unfinished: list[str]) -> int:
        """Note what the only worker of a role held when it was killed just now; return how much that is."""
        since, found = time.monotonic(), []
        if role in {"index", "extract"}:
            records = self._observer.leased(extraction=role == "extract")
            found = [Abandoned(since, f"{role} {one.document_id}", *self._of_record(one)) for one in records]
        elif role in STAGES:
            found = [one for job_id in unfinished if (one := self._of_job(job_id, STAGES[role], since))]
        with self._lock:
            self._open += found
            self._unnoticed += found
        return len(found)

    def _of_record(self, held: DocumentRecord) -> tuple[Callable[[], bool], Callable[[], bool]]:
        documents: DocumentStore = self._client.parts.stores.documents

        def is_noticed() -> bool:
            now = documents.get([held.key])[held.key].record
            return now.lease_owner != held.lease_owner

        def is_rescued() -> bool:
            now = documents.get([held.key])[held.key].record
            moved_on = now.target != held.target or now.state is not DocumentState.RECEIVED
            return moved_on or now.attempts > held.attempts

        return is_noticed, is_rescued

    def _of_job(self, job_id: str, stage: JobState, since: float) -> Abandoned | None:
        try:
            held = self._client.result(job_id)
        except OpinionError:
            return None
        if held.state is not stage or not held.owner:
            return None

        def is_noticed() -> bool:
            try:
                return self._client.result(job_id).owner != held.owner
            except UnknownJob:
                return True

        def is_rescued() -> bool:
            try:
                now = self._client.result(job_id)
            except UnknownJob:
                return True
            return now.is_terminal or now.owner not in {"", held.owner} or now.attempts > held.attempts

        return Abandoned(since, f"query {job_id}", is_noticed, is_rescued)

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self._look(self._unnoticed, self.noticed, lambda one: one.is_noticed())
            self._look(self._open, self.seconds, lambda one: one.is_rescued())

    def _look(self, waiting: list[Abandoned], seconds: list[float], is_over: Callable[[Abandoned], bool]) -> None:
        for one in list(waiting):
            try:
                over = is_over(one)
            except OpinionError:
                continue
            if over:
                with self._lock:
                    waiting.remove(one)
                    seconds.append(time.monotonic() - one.since)
