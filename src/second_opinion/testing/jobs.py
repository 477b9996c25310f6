"""Jobs and candidates in memory."""

import asyncio
import time
from collections.abc import Callable
from threading import Condition
from typing import Final

from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.errors import ErrorInfo, InternalError, UnknownJob
from second_opinion.schemas.job import TERMINAL_STATES, Job, JobState
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
            self._jobs.setdefault(query.job_id, job)
            return self._look(query.job_id)

    def get(self, job_id: str) -> Job:
        """Return a job; one past its deadline becomes `expired` by this very look.

        Raises:
            UnknownJob: If there is none, or its result has expired.
        """
        with self._changed:
            return self._look(job_id)

    def advance(self, job_id: str, state: JobState) -> Job:
        """Move a job to a state that is not terminal, unless it is finished already; return it as it now is.

        Raises:
            UnknownJob: If there is none.
            InternalError: If `state` is terminal.
        """
        if state in TERMINAL_STATES:
            raise InternalError(f"a job cannot be advanced to {state}")
        with self._changed:
            job = self._look(job_id)
            if not job.is_terminal:
                attempts = job.attempts + 1 if job.state is state else 1
                self._jobs[job_id] = job.model_copy(update={"state": state, "attempts": attempts})
            return self._jobs[job_id]

    def finish(
        self,
        job_id: str,
        state: JobState,
        *,
        at: float,
        result: QueryResult | None = None,
        error: ErrorInfo | None = None,
    ) -> bool:
        """Write the terminal state and wake the waiters; False when the job was finished already.

        Raises:
            UnknownJob: If there is none.
            InternalError: If `state` is not terminal, or comes without what it has to bring.
        """
        brings = result is not None and error is None if state is JobState.DONE else error is not None and not result
        if state not in TERMINAL_STATES or not brings:
            raise InternalError(f"a job cannot finish as {state} with result={result!r}, error={error!r}")
        with self._changed:
            job = self._stored(job_id)
            if job.is_terminal:
                return False
            update = {"state": state, "finished_at": at, "result": result, "error": error}
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

    def unfinished(self, *, submitted_before: float, limit: int) -> list[str]:
        """Return ids of jobs that have no terminal state, oldest first."""
        return self._oldest(lambda job: job.submitted_at, lambda job: job.submitted_at < submitted_before, limit)

    def expire(self, *, limit: int) -> list[str]:
        """Make `expired` what is past its `expires_at`, at most `limit` jobs; return their ids."""
        now = self._clock.now()
        overdue = self._oldest(lambda job: job.expires_at, lambda job: job.expires_at <= now, limit)
        return [job_id for job_id in overdue if self.get(job_id).state is JobState.EXPIRED]

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
        self._kept: dict[str, Handover] = {}

    def put(self, job_id: str, handover: Handover) -> None:
        """Keep the handover of a job."""
        self._kept[job_id] = handover

    def get(self, job_id: str) -> Handover | None:
        """Return the handover of a job, or None when there is none."""
        return self._kept.get(job_id)

    def delete(self, job_id: str) -> None:
        """Forget the handover of a job."""
        self._kept.pop(job_id, None)
