"""Query jobs, their candidates on the way, and the queues."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.job import Job, JobState, Step
from second_opinion.schemas.query import Query
from second_opinion.schemas.usage import RerankerUsage
from second_opinion.schemas.verdict import QueryResult


class CandidateStore(Protocol):
    """Candidates on their way from retrieve to rerank, with their text, for a short time."""

    def put(self, job_id: str, handover: Handover, *, owner: str = "") -> None:
        """Keep the handover that `owner` made of a job, beside those that others made."""

    def get(self, job_id: str, *, owner: str = "") -> Handover | None:
        """Return the handover that `owner` made of a job, or None when it has expired."""

    def delete(self, job_id: str) -> None:
        """Forget the handovers of a job."""


class JobStore(Protocol):
    """Query jobs. A terminal state is written once; what comes later changes nothing.

    A job that is past its `expires_at` and has no terminal state becomes `expired`, with the error `DeadlineExceeded`,
    as soon as anybody looks at it.
    """

    def create(self, query: Query, *, submitted_at: float, expires_at: float) -> Job:
        """Record a queued job; return the one already there when the id is taken."""

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            UnknownJob: If there is none, or its result has expired.
        """

    def begin(self, job_id: str, state: JobState, *, owner: str, seconds: float, alone: bool = False) -> Job:
        """Take the lease of a job for so long and move it to a stage; return it as it now is.

        It is ours to work on when its `owner` is; otherwise it is finished, or another works on it. Each lease taken
        counts as an attempt at that stage; one that had run out, of another, as a loss.

        Args:
            job_id: The job.
            state: The stage.
            owner: A name that no other piece of work has.
            seconds: How long we may be silent before another takes over.
            alone: The worker does nothing else meanwhile, so that if it ends, it is by this job or by chance.

        Raises:
            UnknownJob: If there is none.
        """

    def renew(self, job_id: str, *, owner: str, seconds: float) -> Job:
        """Hold the lease for so long from now, if it is still ours; return the job as it now is.

        Raises:
            UnknownJob: If there is none.
        """

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
        """Give the lease back, so that the job waits for its next step; False when it was no longer ours.

        Args:
            job_id: The job.
            owner: Who holds the lease.
            next_step: What the job waits for.
            due: When its message will be in a queue (Unix seconds); now, when left out.
            hands_over: True when the owner leaves candidates for the next step; otherwise the job is `queued` again.
            candidates: How many candidates the job has by now, for whoever follows it.
        """

    def requeue(self, job_id: str, *, waiting_before: float) -> Job | None:
        """Mark an abandoned job as waiting from now on, and return it; None when somebody cares for it.

        Abandoned is one whose lease has run out, or that waits and was due before a moment. Of many callers one is
        told so.
        """

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
        """Write the terminal state, start its time to live and wake the waiters; False when it was finished already.

        With an `owner` also False when that one no longer holds the job's lease.

        Raises:
            UnknownJob: If there is none.
        """

    def wait(self, job_id: str, timeout: float) -> Job:
        """Return the job when it is terminal, or as it is when `timeout` seconds are over.

        Raises:
            UnknownJob: If there is none.
            JobStoreUnavailable: If the store cannot be read at the beginning, or still not when the time is over.
        """

    async def wait_async(self, job_id: str, timeout: float) -> Job:  # noqa: ASYNC109 - the job outlives the waiting
        """Wait as `wait` does, without a thread for each waiter."""

    def follow(self, job_id: str, timeout: float) -> AsyncGenerator[Job]:
        """Yield a job as it is, again whenever its `progress` has grown, and last when it is terminal.

        After `timeout` seconds it ends in any case, without another look at the job than the last one. Close the
        iterator (`contextlib.aclosing`) when it is left before its end.

        Raises:
            UnknownJob: If there is none.
            JobStoreUnavailable: As `wait` does.
        """

    def unfinished(self, *, submitted_before: float, limit: int) -> list[str]:
        """Return ids of jobs that have no terminal state, oldest first."""

    def lapsed(self, *, limit: int) -> list[str]:
        """Return ids of unfinished jobs whose lease has run out, longest ago first."""

    def waiting(self, *, due_before: float, limit: int) -> list[str]:
        """Return ids of unfinished jobs that nobody works on and whose message was due before a moment."""

    def count_waiting(self) -> int:
        """Return how many unfinished jobs nobody works on, of those whose message is due."""

    def expire(self, *, limit: int) -> list[str]:
        """Make `expired` what is past its `expires_at`, at most `limit` jobs; return their ids."""


class TaskQueue(Protocol):
    """Sends messages to workers. What is sent to the `front` of a queue is taken before all that was not."""

    def extract(self, document: DocumentRef, *, front: bool = False) -> None:
        """Ask for the text of an operation's bytes."""

    def index(self, documents: Sequence[DocumentRef], *, front: bool = False) -> None:
        """Ask for operations to be chunked, embedded and committed."""

    def remake(self, collection: str, index: str, keys: Sequence[str]) -> None:
        """Ask for documents of a collection, by key, to be made in another of its indices."""

    def retrieve(self, job_id: str, *, front: bool = False) -> None:
        """Ask for a job's candidates."""

    def rerank(
        self,
        job_id: str,
        *,
        waits: int = 0,
        delay: float = 0.0,
        usage: Sequence[RerankerUsage] = (),
        front: bool = False,
    ) -> None:
        """Ask for a job's candidates to be scored and judged, `delay` seconds (at most 30) from now.

        `waits` is how often the job has waited for a reranker before, `usage` what it has cost by then.
        """

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
