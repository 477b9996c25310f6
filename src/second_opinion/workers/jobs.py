"""One stage's work on one query job: whatever happens in it, the job has an outcome or another worker goes on."""

import random
from collections.abc import Callable
from typing import Final

import structlog

from second_opinion.pipeline.company import Company
from second_opinion.pipeline.job_lease import JobLease
from second_opinion.pipeline.ports import Clock, Guard, JobStore, OperationIds, no_guard
from second_opinion.pipeline.rescue import begun_too_often
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    ErrorInfo,
    InternalError,
    JobCancelled,
    JobStoreUnavailable,
    LeaseLost,
    OpinionError,
)
from second_opinion.schemas.job import Job, JobState
from second_opinion.workers.clock import UlidSource
from second_opinion.workers.retry import GiveUp, decide
from second_opinion.workers.runner import Facts

LEASE_SECONDS: Final = 15.0
RECORDED_ELSEWHERE: Final = frozenset({JobCancelled.code, LeaseLost.code})

log = structlog.get_logger(__name__)

Stage = Callable[[Job, Guard], Facts]


class JobWork:
    """Runs a stage on jobs, each under a lease.

    Args:
        jobs: Where leases and outcomes are recorded.
        max_attempts: As `begun_too_often` takes it: a job that ends its worker each time must not go round for ever.
        lease_seconds: How long this worker may be silent about a job before another takes it over.
        ids: Names the leases.
        pulse: Called in the thread of the work; returns what is called whenever it shows that it goes on.
        company: What else runs in this process.
    """

    def __init__(  # noqa: PLR0913 - all but two by name
        self,
        jobs: JobStore,
        clock: Clock,
        *,
        max_attempts: int,
        lease_seconds: float = LEASE_SECONDS,
        ids: OperationIds | None = None,
        pulse: Callable[[], Guard] = lambda: no_guard,
        company: Company | None = None,
    ) -> None:
        self._jobs = jobs
        self._clock = clock
        self._max_attempts = max_attempts
        self._lease_seconds = lease_seconds
        self._ids = ids or UlidSource()
        self._pulse = pulse
        self._company = company or Company()

    def run(self, job_id: str, state: JobState, stage: Stage) -> Facts:
        """Move the job to `state` and run the stage on it; a failure for good is recorded as the job's outcome.

        A job that a worker was lost with before runs alone in this process.

        Raises:
            OpinionError: What was recorded, for the log.
        """
        suspect = self._jobs.get(job_id).losses > 0
        with self._company.alone() if suspect else self._company.together():
            return self._run(job_id, state, stage, alone=suspect)

    def _run(self, job_id: str, state: JobState, stage: Stage, *, alone: bool) -> Facts:
        owner = self._ids.new()
        job = self._jobs.begin(job_id, state, owner=owner, seconds=self._lease_seconds, alone=alone)
        facts: Facts = {"job": job_id}
        if job.is_terminal:
            return {**facts, "skipped": job.state.value}
        if job.owner != owner:
            return {**facts, "skipped": "another worker has it"}
        try:
            self._check_losses(job)
            return {**facts, **self._until_it_works(job, stage)}
        except OpinionError as problem:
            self._record(job, problem.info())
            raise
        except MemoryError:
            raise  # The process is left; the lease runs out, and the job is tried again elsewhere.
        except BaseException as problem:
            self._record(job, InternalError(f"{type(problem).__name__}: {problem}").info())
            raise

    def _check_losses(self, job: Job) -> None:
        problem = begun_too_often(job, self._max_attempts)
        if problem is not None:
            raise problem

    def _until_it_works(self, job: Job, stage: Stage) -> Facts:
        lease = JobLease(job, self._jobs, self._clock, seconds=self._lease_seconds)
        beat = self._pulse()

        def guard() -> None:
            beat()
            lease()

        attempt = 1
        while True:
            try:
                return stage(job, guard)
            except OpinionError as problem:
                left = job.expires_at - self._clock.now()
                decision = decide(problem, attempt=attempt, seconds_left=left, jitter=random.random())  # noqa: S311
                if isinstance(decision, GiveUp):
                    raise
                log.info("stage_retries", job=job.job_id, code=problem.code, seconds=round(decision.seconds, 2))
            guard()
            self._clock.sleep(decision.seconds)
            beat()
            attempt += 1

    def _record(self, job: Job, error: ErrorInfo) -> None:
        if error.code in RECORDED_ELSEWHERE:
            return
        state = JobState.EXPIRED if error.code == DeadlineExceeded.code else JobState.FAILED
        try:
            self._jobs.finish(job.job_id, state, at=self._clock.now(), error=error, owner=job.owner)
        except JobStoreUnavailable as problem:
            # The lease runs out and the job is tried again, or it expires; until then it is unfinished.
            log.warning("outcome_not_recorded", job=job.job_id, code=error.code, problem=problem.message)
