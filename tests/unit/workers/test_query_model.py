"""A query's way as a state machine: any order of messages, crashes, losses, rescues, cancels and time."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from second_opinion.pipeline.rescue import QueryRescue
from second_opinion.schemas.errors import AttemptsExhausted, JobCancelled, OpinionError
from second_opinion.schemas.job import Job, JobState
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.jobs import MemoryCandidates, MemoryJobs
from second_opinion.testing.queue import MemoryQueue
from tests.faults.deliveries import memory_rig
from tests.faults.repeated_queries import Answering

LEASE = 15.0
MOST_JOBS = 4
CALLS = st.integers(1, 12)
HALVES = st.sampled_from(["retrieve", "rerank"])
RESULT_TTL = 1e9


class Killed(BaseException):
    """The process is gone."""


class Process:
    """A worker that ends at its n-th call to the outside, and reaches nothing from then on."""

    def __init__(self, calls: int, *, after: bool) -> None:
        self._left = calls
        self._after = after
        self._dead = False

    def reach(self, port: Any) -> Any:
        """Return a port as this process reaches it."""
        process = self

        class Reached:
            def __getattr__(self, name: str) -> Any:
                return process._guarded(getattr(port, name))

        return Reached()

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            self._left -= 1
            ends = self._left == 0
            if self._dead or (ends and not self._after):
                self._dead = True
                raise Killed
            answer = call(*args, **options)
            if ends:
                self._dead = True
                raise Killed
            return answer

        return made


class Queries(RuleBasedStateMachine):
    """Callers ask and cancel; everything that may happen to messages, workers and Redis's short memory happens."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.jobs = MemoryJobs(clock=self.clock, result_ttl=RESULT_TTL)
        self.candidates, self.queue = MemoryCandidates(), MemoryQueue()
        self.rescue = QueryRescue(self.jobs, self.queue, self.clock, max_attempts=3)
        self.rig = memory_rig()
        self.rig.put("d1", "The lamp is on the table.")
        self.rig.drain()
        self.worker = Answering(
            self.rig, self.jobs, self.candidates, queue=self.queue, clock=self.clock, lease_seconds=LEASE
        )
        self.submitted: list[str] = []
        self.seen: list[tuple[str, str]] = []
        self.ended: dict[str, Job] = {}
        self.cancelled: set[str] = set()

    @rule(asked=st.sampled_from(["Where is the lamp?", "Who sold the horse?"]), is_sent=st.booleans())
    def submit(self, asked: str, *, is_sent: bool) -> None:
        """A caller asks; its message may be lost on the way."""
        if len(self.submitted) < MOST_JOBS:
            job_id = f"job-{len(self.submitted)}"
            self.worker.submit(job_id, asked)
            self.submitted.append(job_id)
            if is_sent:
                self.queue.retrieve(job_id)

    @rule(half=HALVES)
    def deliver(self, half: str) -> None:
        """A worker gets the oldest message of its queue and does all of it."""
        if (job_id := self._next(half)) is not None:
            self._do(self.worker, half, job_id)

    @rule(half=HALVES, pick=st.integers(0, 50))
    def deliver_again(self, half: str, pick: int) -> None:
        """Any message that there ever was comes again, whatever has become of its job."""
        known = [job_id for other, job_id in self.seen if other == half]
        if known:
            self._do(self.worker, half, known[pick % len(known)])

    @rule(half=HALVES, calls=CALLS, after=st.booleans())
    def crash(self, half: str, calls: int, *, after: bool) -> None:
        """A worker gets a message and is killed in the middle of it."""
        if (job_id := self._next(half)) is None:
            return
        process = Process(calls, after=after)
        reached = [process.reach(port) for port in (self.jobs, self.candidates, self.queue)]
        worker = Answering(self.rig, reached[0], reached[1], queue=reached[2], clock=self.clock, lease_seconds=LEASE)
        try:
            self._do(worker, half, job_id)
        except Killed:
            return

    @rule(pick=st.integers(0, 50))
    def cancel(self, pick: int) -> None:
        """A caller does not want it any more."""
        if self.submitted:
            job_id = self.submitted[pick % len(self.submitted)]
            wanted = JobCancelled("the caller does not want it any more").info()
            if self.jobs.finish(job_id, JobState.CANCELLED, at=self.clock.now(), error=wanted):
                self.cancelled.add(job_id)

    @rule()
    def lose_the_queues(self) -> None:
        """The broker forgets everything."""
        self.queue.retrievals.clear()
        self.queue.reranks.clear()

    @rule()
    def lose_the_candidates(self) -> None:
        """So does the handover."""
        self.candidates.clear()

    @rule(seconds=st.sampled_from([1.0, LEASE + 1.0, 61.0]))
    def let_time_pass(self, seconds: float) -> None:
        """Leases run out, patience ends."""
        self.clock.advance(seconds)

    @rule()
    def look_for_the_abandoned(self) -> None:
        """The rescue looks."""
        self.rescue.rescue()

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        """A terminal record is written once; nothing that comes after it changes a word of it."""
        for job_id in self.submitted:
            job = self.jobs.get(job_id)
            if job.is_terminal:
                assert self.ended.setdefault(job_id, job) == job
            else:
                assert job_id not in self.ended

    @invariant()
    def only_who_was_cancelled_is_cancelled(self) -> None:
        """And one that was cancelled never has an answer."""
        for job_id, job in self.ended.items():
            assert (job.state is JobState.CANCELLED) == (job_id in self.cancelled)
            assert (job.result is not None) == (job.state is JobState.DONE)

    def teardown(self) -> None:
        """In the end, after time and rescues, every query has ended: answered, unless callers or crashes ended it."""
        for _ in range(4):
            self.clock.advance(61.0)
            self.rescue.rescue()
            while any(self._next_is_done(half) for half in ("retrieve", "rerank")):
                pass
        self.what_has_ended_stays_as_it_is()
        assert set(self.ended) == set(self.submitted)
        for job in self.ended.values():
            if job.state is JobState.FAILED:
                assert job.error is not None
                assert (job.error.code, job.losses >= 2) == (AttemptsExhausted.code, True)
            else:
                assert job.state in {JobState.DONE, JobState.CANCELLED, JobState.EXPIRED}

    def _next_is_done(self, half: str) -> bool:
        job_id = self._next(half)
        if job_id is not None:
            self._do(self.worker, half, job_id)
        return job_id is not None

    def _next(self, half: str) -> str | None:
        queue = self.queue.retrievals if half == "retrieve" else self.queue.reranks
        if not queue:
            return None
        job_id = queue.popleft()
        self.seen.append((half, job_id))
        return job_id

    def _do(self, worker: Answering, half: str, job_id: str) -> None:
        try:
            getattr(worker, half)(job_id)
        except OpinionError:
            return


TestQueries = Queries.TestCase
TestQueries.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
