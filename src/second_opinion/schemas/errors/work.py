"""Work that ended without its result."""

from second_opinion.schemas.errors.base import PermanentError


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


class AttemptsExhausted(PermanentError):
    """The work was tried as often as allowed and failed each time."""

    code = "attempts_exhausted"
