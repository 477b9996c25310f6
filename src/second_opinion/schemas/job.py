"""Query jobs as Redis keeps them."""

from enum import StrEnum
from typing import Final, Literal

from second_opinion.schemas.base import Record, Versioned
from second_opinion.schemas.errors import DeadlineExceeded, ErrorInfo
from second_opinion.schemas.query import Query
from second_opinion.schemas.verdict import QueryResult


class JobState(StrEnum):
    """Where a query job is. The last four are terminal: written once, then only read."""

    QUEUED = "queued"
    RETRIEVING = "retrieving"
    RERANKING = "reranking"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL_STATES: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})
STAGES: Final = frozenset({JobState.RETRIEVING, JobState.RERANKING})
Step = Literal["retrieving", "reranking"]
"""What a job waits for, or is worked on for."""


class Progress(Record):
    """One step of a job.

    Attributes:
        state: What it then was; a second time `retrieving` when its candidates wait to be reranked.
        at: Unix seconds.
        candidates: How many candidates it had by then; None where that is not known.
    """

    state: JobState
    at: float
    candidates: int | None = None


class Job(Versioned):
    """A query job.

    Attributes:
        query: The question with every choice made.
        submitted_at: Unix seconds.
        expires_at: Unix seconds after which the job, if still without an answer, becomes `expired`.
        attempts: How often work in the present state was begun.
        owner: The one piece of work that may bring the job further; empty when nobody works on it.
        lease_until: Until when (Unix seconds) nobody else takes it over; 0 when nobody works on it.
        next_step: What it waits for, or is worked on for.
        handed_over_by: The owner that left its candidates.
        losses: How often a worker ended, or fell silent, with it in its hands.
        lone_losses: How many of these were a worker's that did nothing else meanwhile.
        progress: The steps since it was queued, in their order, without its end; the first hundred or so are kept.
        result: Present when and only when the state is `done`.
        error: Present when the state is `failed`, `cancelled` or `expired`.
    """

    job_id: str
    state: JobState
    query: Query
    submitted_at: float
    expires_at: float
    finished_at: float | None = None
    attempts: int = 0
    owner: str = ""
    lease_until: float = 0.0
    next_step: Step = "retrieving"
    handed_over_by: str = ""
    losses: int = 0
    lone_losses: int = 0
    progress: tuple[Progress, ...] = ()
    result: QueryResult | None = None
    error: ErrorInfo | None = None

    @property
    def is_terminal(self) -> bool:
        """True when nothing about the job will change any more."""
        return self.state in TERMINAL_STATES

    def deadline_exceeded(self) -> DeadlineExceeded:
        """Return the error of this job when it has no answer in time."""
        allowed = self.expires_at - self.submitted_at
        return DeadlineExceeded(f"job {self.job_id} had no answer within {allowed:g} seconds (it was {self.state})")
