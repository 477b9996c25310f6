"""Work that ended without its result."""

from second_opinion.schemas.errors.base import PermanentError, TransientError


class JobCancelled(PermanentError):
    """The caller cancelled the job."""

    code = "cancelled"


class DeadlineExceeded(PermanentError):
    """The work was not finished in the time allowed."""

    code = "deadline_exceeded"
    default_hint = "Allow more time, or add workers for the stage that is behind: opinion status"


class LeaseLost(PermanentError):
    """Another worker has taken this piece of work over; what this one did with it has no effect."""

    code = "lease_lost"
    default_hint = "Nothing to do: the other worker goes on with it."


class WorkerStopping(TransientError):
    """The worker was asked to stop and gave back what it had not finished; another takes it up."""

    code = "worker_stopping"
    default_hint = "Nothing to do: it is sent again at once."


class AttemptsExhausted(PermanentError):
    """The work was tried as often as allowed and failed each time."""

    code = "attempts_exhausted"


class QueryRefused(PermanentError):
    """Nothing cleared the floor. A refusal is an answer; it is raised only where a caller has asked for that.

    Args:
        message: Why nothing is shown, with the numbers.
        job_id: The job, whose result has every number; empty when it is not known.
        hint: What to do next.
    """

    code = "query_refused"
    default_hint = "The documents do not answer this. Ask otherwise, or see what came closest: opinion trace JOB"

    def __init__(self, message: str, *, job_id: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.job_id = job_id
