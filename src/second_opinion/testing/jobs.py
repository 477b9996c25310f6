"""Jobs and candidates in memory."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from threading import Condition
from typing import Final

from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.errors import ErrorInfo, InternalError, UnknownJob
from second_opinion.schemas.job import STAGES, TERMINAL_STATES, Job, JobState, Progress, Step
from second_opinion.schemas.query import Query
from second_opinion.schemas.verdict import QueryResult

ASYNC_LOOK_SECONDS: Final = 0.01


class MemoryJobs:
    """A `JobStore` in this process.

    Args:
        clock: Tells which jobs are past their deadline, and which results are past their time to live.
        result_ttl: Seconds a finished job can be read.
    """

    def __init__(self, *, clock: Clock, result_ttl: float = 3_600.0) -> None:
        self._clock = clock
        self._ttl = result_ttl
        self._jobs: dict[str, Job] = {}
        self._due: dict[str, float] = {}
        self._alone: dict[str, bool] = {}
        self._changed = Condition()

    def create(self, query: Query, *, submitted_at: float, expires_at: float) -> Job:
        """Record a queued job; return the one already there when the id is taken."""
        job = Job(
            job_id=query.job_id,
            state=JobState.QUEUED,
            query=query,
            submitted_at=submitted_at,
            expires_at=expires_at,
        )
        with self._changed:
            if query.job_id not in self._jobs:
                self._jobs[query.job_id] = job
                self._due[query.job_id] = submitted_at
            return self._look(query.job_id)

    def get(self, job_id: str) -> Job:
        """Return a job; one past its deadline becomes `expired` by this very look.

        Raises:
            UnknownJob: If there is none, or its result has expired.
        """
        with self._changed:
            return self._look(job_id)

    def begin(self, job_id: str, state: JobState, *, owner: str, seconds: float, alone: bool = False) -> Job:
        """Take the lease of a job for so long and move it to a stage; return it as it now is.

        Raises:
            UnknownJob: If there is none.
            InternalError: If `state` is terminal.
        """
        if state not in STAGES:
            raise InternalError(f"work on a job cannot begin as {state}")
        with self._changed:
            job, now = self._look(job_id), self._clock.now()
            if job.is_terminal or (job.owner not in {"", owner} and job.lease_until > now):
                return job
            attempts = job.attempts + 1 if job.state is state else 1
            lost = self._losses(job) if job.owner not in {"", owner} else {}
            taken = {"state": state, "attempts": attempts, "owner": owner, "lease_until": now + seconds}
            if job.state is not state:
                taken["progress"] = (*job.progress, Progress(state=state, at=now))
            self._jobs[job_id] = job.model_copy(update={**lost, **taken, "next_step": state.value})
            self._alone[job_id] = alone
            return self._jobs[job_id]

    def renew(self, job_id: str, *, owner: str, seconds: float) -> Job:
        """Hold the lease for so long from now, if it is still ours; return the job as it now is.

        Raises:
            UnknownJob: If there is none.
        """
        with self._changed:
            job = self._look(job_id)
            if not job.is_terminal and job.owner == owner:
                self._jobs[job_id] = job.model_copy(update={"lease_until": self._clock.now() + seconds})
            return self._jobs[job_id]

    def release(  # noqa: PLR0913 - all but one by name
        self,
        job_id: str,
        *,
        owner: str,
        next_step: Step,
        due: float | None = None,
        hands_over: bool = False,
        candidates: int | None = None,
    ) -> bool:
        """Give the lease back, so that the job waits for its next step; False when it was no longer ours."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.is_terminal or job.owner != owner:
                return False
            now, state = self._clock.now(), job.state if hands_over else JobState.QUEUED
            left = {"handed_over_by": owner} if hands_over else {"state": state}
            free = {"owner": "", "lease_until": 0.0, "next_step": next_step}
            told = {"progress": (*job.progress, Progress(state=state, at=now, candidates=candidates))}
            self._jobs[job_id] = job.model_copy(update={**free, **left, **told})
            self._due[job_id] = now if due is None else due
            return True

    def requeue(self, job_id: str, *, waiting_before: float) -> Job | None:
        """Mark an abandoned job as waiting from now on, and return it; None when somebody cares for it."""
        with self._changed:
            job, now = self._jobs.get(job_id), self._clock.now()
            if job is None or job.is_terminal:
                return None
            if job.lease_until > now if job.owner else self._due[job_id] >= waiting_before:
                return None
            lost = {**self._losses(job), "owner": "", "lease_until": 0.0} if job.owner else {}
            self._jobs[job_id] = job.model_copy(update=lost)
            self._due[job_id] = now
            return self._look(job_id)

    def _losses(self, job: Job) -> dict[str, int]:
        lone = job.lone_losses + (1 if self._alone.get(job.job_id) else 0)
        return {"losses": job.losses + 1, "lone_losses": lone}

    def finish(  # noqa: PLR0913 - all but two by name
        self,
        job_id: str,
        state: JobState,
        *,
        at: float,
        result: QueryResult | None = None,
        error: ErrorInfo | None = None,
        owner: str | None = None,
    ) -> bool:
        """Write the terminal state and wake the waiters; False when the job was finished already, or is another's.

        Raises:
            UnknownJob: If there is none.
            InternalError: If `state` is not terminal, or comes without what it has to bring.
        """
        brings = result is not None and error is None if state is JobState.DONE else error is not None and not result
        if state not in TERMINAL_STATES or not brings:
            raise InternalError(f"a job cannot finish as {state} with result={result!r}, error={error!r}")
        with self._changed:
            job = self._stored(job_id)
            if job.is_terminal or (owner is not None and job.owner != owner):
                return False
            update = {"state": state, "finished_at": at, "result": result, "error": error}
            update |= {"owner": "", "lease_until": 0.0}
            self._jobs[job_id] = job.model_copy(update=update)
            self._changed.notify_all()
            return True

    def wait(self, job_id: str, timeout: float) -> Job:
        """Return the job when it is terminal, or as it is when `timeout` seconds are over.

        Raises:
            UnknownJob: If there is none.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._look(job_id).is_terminal, max(0.0, timeout))
            return self._look(job_id)

    async def wait_async(self, job_id: str, timeout: float) -> Job:  # noqa: ASYNC109 - the port's form
        """Wait as `wait` does."""
        until = time.monotonic() + timeout
        while not (job := self.get(job_id)).is_terminal and time.monotonic() < until:  # noqa: ASYNC110 - many loops wait
            await asyncio.sleep(min(ASYNC_LOOK_SECONDS, max(0.0, until - time.monotonic())))
        return job

    async def follow(self, job_id: str, timeout: float) -> AsyncGenerator[Job]:  # noqa: ASYNC109 - the port's form
        """Yield a job as it is, again whenever its `progress` has grown, and last when it is terminal."""
        until, steps = time.monotonic() + timeout, -1
        while True:
            job = self.get(job_id)
            if job.is_terminal or len(job.progress) != steps:
                steps = len(job.progress)
                yield job
            if job.is_terminal or time.monotonic() >= until:
                return
            await asyncio.sleep(ASYNC_LOOK_SECONDS)

    def unfinished(self, *, submitted_before: float, limit: int) -> list[str]:
        """Return ids of jobs that have no terminal state, oldest first."""
        return self._oldest(lambda job: job.submitted_at, lambda job: job.submitted_at < submitted_before, limit)

    def lapsed(self, *, limit: int) -> list[str]:
        """Return ids of unfinished jobs whose lease has run out, longest ago first."""
        now = self._clock.now()
        return self._oldest(lambda job: job.lease_until, lambda job: 0.0 < job.lease_until <= now, limit)

    def waiting(self, *, due_before: float, limit: int) -> list[str]:
        """Return ids of unfinished jobs that nobody works on and whose message was due before a moment."""
        due = self._due
        return self._oldest(
            lambda job: due[job.job_id], lambda job: not job.owner and due[job.job_id] < due_before, limit
        )

    def count_waiting(self) -> int:
        """Return how many unfinished jobs nobody works on, of those whose message is due."""
        return len(self.waiting(due_before=math.nextafter(self._clock.now(), math.inf), limit=len(self._jobs)))

    def expire(self, *, limit: int) -> list[str]:
        """Make `expired` what is past its `expires_at`, at most `limit` jobs; return their ids."""
        now = self._clock.now()
        overdue = self._oldest(lambda job: job.expires_at, lambda job: job.expires_at <= now, limit)
        return [job_id for job_id in overdue if self.get(job_id).state is JobState.EXPIRED]

    def clear(self) -> None:
        """Forget all jobs, as an empty Redis that takes the place of the former."""
        with self._changed:
            self._jobs.clear()
            self._due.clear()
            self._alone.clear()

    def _oldest(self, age: Callable[[Job], float], wanted: Callable[[Job], bool], limit: int) -> list[str]:
        with self._changed:
            jobs = [job for job in self._jobs.values() if not job.is_terminal and wanted(job)]
        return [job.job_id for job in sorted(jobs, key=lambda job: (age(job), job.job_id))[:limit]]

    def _stored(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is not None and job.finished_at is not None and self._clock.now() >= job.finished_at + self._ttl:
            del self._jobs[job_id]
            job = None
        if job is None:
            raise UnknownJob(f"there is no job {job_id!r}, or its result has expired")
        return job

    def _look(self, job_id: str) -> Job:
        job = self._stored(job_id)
        if not job.is_terminal and self._clock.now() >= job.expires_at:
            error = job.deadline_exceeded().info()
            self.finish(job_id, JobState.EXPIRED, at=self._clock.now(), error=error)
        return self._jobs[job_id]


class MemoryCandidates:
    """A `CandidateStore` in this process."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Handover]] = {}

    def put(self, job_id: str, handover: Handover, *, owner: str = "") -> None:
        """Keep the handover that `owner` made of a job, beside those that others made."""
        self._kept.setdefault(job_id, {})[owner] = handover

    def get(self, job_id: str, *, owner: str = "") -> Handover | None:
        """Return the handover that `owner` made of a job, or None when there is none."""
        return self._kept.get(job_id, {}).get(owner)

    def delete(self, job_id: str) -> None:
        """Forget the handovers of a job."""
        self._kept.pop(job_id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
