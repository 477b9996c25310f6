"""The lease of a query job: kept while the work on it goes on, and noticed when it is gone."""

import threading
from typing import Final

from second_opinion.pipeline.ports import Clock, JobStore
from second_opinion.schemas.errors import JobCancelled, JobStoreUnavailable, LeaseLost, OpinionError
from second_opinion.schemas.job import Job

CHECK_SECONDS: Final = 0.25
SHARE_BEFORE_RENEWAL: Final = 1 / 3


class JobLease:
    """The guard of one piece of work on a job: says whether it is still wanted, and renews the lease. For many threads.

    Args:
        job: The job as it was when its lease was taken; `job.owner` is this piece of work.
        jobs: Asked at most every quarter of a second. While it cannot be read the work goes on; what it brings is
            taken only if the lease is still ours then.
        seconds: How long the lease holds after each renewal.
    """

    def __init__(self, job: Job, jobs: JobStore, clock: Clock, *, seconds: float) -> None:
        self._job = job
        self._jobs = jobs
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._check_at = clock.now() + CHECK_SECONDS
        self._renew_at = clock.now() + seconds * SHARE_BEFORE_RENEWAL

    def __call__(self) -> None:
        """Return if the work is still wanted of us.

        Raises:
            DeadlineExceeded: If the job is past its `expires_at`.
            JobCancelled: If the job was cancelled, or finished by somebody else.
            LeaseLost: If another worker has taken it over.
            UnknownJob: If there is no such job any more.
        """
        now = self._clock.now()
        if now >= self._job.expires_at:
            raise self._job.deadline_exceeded()
        with self._lock:
            if now < self._check_at:
                return
            self._check_at = now + CHECK_SECONDS
            renews = now >= self._renew_at
            if renews:
                self._renew_at = now + self._seconds * SHARE_BEFORE_RENEWAL
        try:
            job = self._looked_at(renews=renews)
        except JobStoreUnavailable:
            return
        if job.is_terminal:
            raise OpinionError.from_info(job.error) if job.error else JobCancelled(f"job {job.job_id} is {job.state}")
        if job.owner != self._job.owner:
            raise LeaseLost(f"another worker has taken job {job.job_id} over")

    def _looked_at(self, *, renews: bool) -> Job:
        if renews:
            return self._jobs.renew(self._job.job_id, owner=self._job.owner, seconds=self._seconds)
        return self._jobs.get(self._job.job_id)
