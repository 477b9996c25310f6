"""Rescue query jobs that nobody works on and that no message leads to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from second_opinion.pipeline.ports import Clock, JobStore, TaskQueue
from second_opinion.schemas.errors import AttemptsExhausted, UnknownJob
from second_opinion.schemas.job import Job, JobState

PAGE: Final = 1_000
SETTLING_SECONDS: Final = 5.0
"""A job that waits for less is left alone: its message may be between the queue and a worker's lease."""
PATIENCE_SECONDS: Final = 60.0
"""After this a waiting job is sent again, however long the queues are."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """What a run did with jobs.

    Attributes:
        lost: Sent again, because whoever worked on them fell silent.
        waiting: Sent again, because their message seems to be lost.
        failed: Ended, because workers ended with them, alone, as often as is allowed.
        expired: Ended, because they were past their deadline.
    """

    lost: int = 0
    waiting: int = 0
    failed: int = 0
    expired: int = 0


class QueryRescue:
    """Keeps queries from being forgotten. Any number may run at once: each job is sent by one of them.

    A waiting job usually has its message in a queue, so it is sent again only when the queues hold fewer messages than
    jobs wait, or when it has waited beyond all patience. One that lost its worker has had its turn, and goes to the
    front.

    Args:
        max_attempts: As in `begun_too_often`.
    """

    def __init__(self, jobs: JobStore, queue: TaskQueue, clock: Clock, *, max_attempts: int) -> None:
        self._jobs = jobs
        self._queue = queue
        self._clock = clock
        self._max_attempts = max_attempts

    def rescue(self) -> Rescued:
        """Look once, and send what is due.

        Raises:
            JobStoreUnavailable: If the jobs cannot be read.
            BrokerUnavailable: If the queues cannot be had; what could not be sent is found by a later run.
        """
        expired = len(self._jobs.expire(limit=PAGE))
        lost, failed = self._send(self._jobs.lapsed(limit=PAGE), self._clock.now())
        queued = self._queue.length("retrieve") + self._queue.length("rerank")
        few = queued < self._jobs.count_waiting()
        before = self._clock.now() - (SETTLING_SECONDS if few else PATIENCE_SECONDS)
        waiting, _ = self._send(self._jobs.waiting(due_before=before, limit=PAGE), before)
        return Rescued(lost=lost, waiting=waiting, failed=failed, expired=expired)

    def _send(self, job_ids: Sequence[str], waiting_before: float) -> tuple[int, int]:
        """Mark each job first, so that two rescuers do not send it twice; return how many were sent, and ended."""
        sent = failed = 0
        for job_id in job_ids:
            try:
                job = self._jobs.requeue(job_id, waiting_before=waiting_before)
            except UnknownJob:
                continue
            if job is None or job.is_terminal:
                continue
            problem = begun_too_often(job, self._max_attempts)
            if problem is not None:
                failed += self._jobs.finish(job_id, JobState.FAILED, at=self._clock.now(), error=problem.info())
                continue
            if job.next_step == "reranking":
                self._queue.rerank(job_id, front=job.losses > 0)
            else:
                self._queue.retrieve(job_id, front=job.losses > 0)
            sent += 1
        return sent, failed


def begun_too_often(job: Job, max_attempts: int) -> AttemptsExhausted | None:
    """Return the error of a job that ends its workers; None while that may be chance.

    A loss in company counts for nothing, because another job may have been the cause. The first one makes a job run
    alone from then on, so `max_attempts` attempts in all leave one less that are alone.
    """
    if job.lone_losses < max(1, max_attempts - 1):
        return None
    return AttemptsExhausted(
        f"{job.losses} workers ended while they worked on job {job.job_id}, the last {job.lone_losses} on nothing else",
        hint="The workers' logs say what happened: opinion logs retrieve, opinion logs rerank",
    )
