"""Jobs in a store of either kind, and their clock."""

from collections.abc import Callable
from dataclasses import dataclass

from second_opinion.pipeline.ports import JobStore
from second_opinion.schemas.errors import JobCancelled
from second_opinion.schemas.job import Job, JobState
from second_opinion.testing.builders import a_query, a_result
from second_opinion.testing.clock import ManualClock

RESULT_TTL = 0.8
START = 1_700_000_000.0


@dataclass
class Kept:
    """A store, its clock, and a way to let results grow old."""

    jobs: JobStore
    clock: ManualClock
    grow_old: Callable[[float], None]

    def submit(self, job_id: str = "job-1", *, timeout: float = 60.0) -> Job:
        """Create a job of now."""
        now = self.clock.now()
        return self.jobs.create(a_query(job_id=job_id), submitted_at=now, expires_at=now + timeout)

    def complete(self, job_id: str = "job-1") -> bool:
        """Finish a job with an answer."""
        return self.jobs.finish(job_id, JobState.DONE, at=self.clock.now(), result=a_result(job_id))

    def cancel(self, job_id: str = "job-1") -> bool:
        """Finish a job as its caller would."""
        error = JobCancelled("cancelled by the caller").info()
        return self.jobs.finish(job_id, JobState.CANCELLED, at=self.clock.now(), error=error)

    def begin(self, owner: str, state: JobState = JobState.RETRIEVING, *, alone: bool = False) -> Job:
        """Begin work on a job with a lease of ten seconds."""
        return self.jobs.begin("job-1", state, owner=owner, seconds=10.0, alone=alone)
