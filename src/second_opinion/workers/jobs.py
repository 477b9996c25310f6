"""One stage's work on one query job: whatever happens in it, the job has an outcome or another worker goes on."""

import random
from collections.abc import Callable

import structlog

from second_opinion.pipeline.answer import JobGuard
from second_opinion.pipeline.ports import Clock, Guard, JobStore
from second_opinion.schemas.errors import (
    AttemptsExhausted,
    DeadlineExceeded,
    ErrorInfo,
    InternalError,
    JobCancelled,
    JobStoreUnavailable,
    OpinionError,
)
from second_opinion.schemas.job import Job, JobState
from second_opinion.workers.retry import GiveUp, decide
from second_opinion.workers.runner import Facts

log = structlog.get_logger(__name__)

Stage = Callable[[Job, Guard], Facts]


class JobWork:
    """Runs a stage on jobs.

    Args:
        jobs: Where outcomes are recorded.
        max_attempts: How often a state may be entered: a job that ends its worker each time must not go round for ever.
    """

    def __init__(self, jobs: JobStore, clock: Clock, *, max_attempts: int) -> None:
        self._jobs = jobs
        self._clock = clock
        self._max_attempts = max_attempts

    def run(self, job_id: str, state: JobState, stage: Stage) -> Facts:
        """Move the job to `state` and run the stage on it; a failure for good is recorded as the job's outcome.

        Raises:
            OpinionError: What was recorded, for the log.
        """
        job = self._jobs.advance(job_id, state)
        facts: Facts = {"job": job_id}
        if job.is_terminal:
            return {**facts, "skipped": job.state.value}
        try:
            self._check_attempts(job)
            return {**facts, **self._until_it_works(job, stage)}
        except OpinionError as problem:
            self._record(job, problem.info())
            raise
        except BaseException as problem:
            self._record(job, InternalError(f"{type(problem).__name__}: {problem}").info())
            raise

    def _check_attempts(self, job: Job) -> None:
        if job.attempts > self._max_attempts:
            raise AttemptsExhausted(f"job {job.job_id} was begun {job.attempts} times in state {job.state}")

    def _until_it_works(self, job: Job, stage: Stage) -> Facts:
        guard = JobGuard(job, self._jobs, self._clock)
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
            attempt += 1

    def _record(self, job: Job, error: ErrorInfo) -> None:
        if error.code == JobCancelled.code:
            return  # Cancelling recorded it.
        state = JobState.EXPIRED if error.code == DeadlineExceeded.code else JobState.FAILED
        try:
            self._jobs.finish(job.job_id, state, at=self._clock.now(), error=error)
        except JobStoreUnavailable as problem:
            # The job expires at its deadline; until then waiters see it unfinished, which it is.
            log.warning("outcome_not_recorded", job=job.job_id, code=error.code, problem=problem.message)
