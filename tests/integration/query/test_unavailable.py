"""A rerank task without a reranker, on real Redis: what each query chose to happen."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.answer import JudgementParts
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.guarded_reranker import GuardedReranker
from second_opinion.pipeline.panel import Panel
from second_opinion.pipeline.ports import Guard, no_guard
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    OpinionError,
    ProviderAnswerInvalid,
    ProviderRefused,
    RerankUnavailable,
)
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.messages import RerankCandidates
from second_opinion.schemas.usage import RerankerUsage
from second_opinion.schemas.verdict import Outcome
from second_opinion.testing.breakers import MemoryBreaker
from second_opinion.testing.builders import a_fused, a_handover, a_query
from second_opinion.testing.models import WordReranker
from second_opinion.testing.queue import MemoryQueue
from second_opinion.workers.clock import SystemClock
from second_opinion.workers.jobs import JobWork
from second_opinion.workers.parts import RerankParts
from second_opinion.workers.tasks.rerank import rerank_candidates

pytestmark = pytest.mark.stack
QUESTION = "take one tablet"
AWAY = RerankUnavailable("it does not answer")


class Provider(WordReranker):
    """Can be away, and can need a while for each passage that it reads."""

    problem: OpinionError | None = None
    calls = 0

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Answer, or fail."""
        self.calls += 1
        if self.problem is not None:
            raise self.problem
        return super().score(query, passages, guard=guard)


@dataclass
class Reranking:
    """A rerank worker's parts with a reranker that can be away."""

    jobs: RedisJobs
    candidates: RedisCandidates
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    provider: Provider = field(default_factory=Provider)
    usage: tuple[RerankerUsage, ...] = ()

    def submit(self, *, timeout: float = 60.0, **choices: object) -> None:
        """Put a job before the worker."""
        now = time.time()
        self.jobs.create(a_query(QUESTION, **choices), submitted_at=now, expires_at=now + timeout)
        self.candidates.put("job-1", a_handover(*(a_fused(rank) for rank in (1, 2, 3))))

    def run(self, waits: int = 0) -> Job:
        """Work on the job as the task does; return it as it then is."""
        clock = SystemClock()
        guarded = GuardedReranker(self.provider, "far", MemoryBreaker(clock=clock, threshold=100))
        parts = RerankParts(
            work=JobWork(self.jobs, clock, max_attempts=2),
            panel=Panel({"far": JudgementParts(guarded, NoCalibration("logit"))}),
            candidates=self.candidates,
            jobs=self.jobs,
            queue=self.queue,
            clock=clock,
        )
        rerank_candidates(RerankCandidates(job_id="job-1", waits=waits, usage=self.usage), parts)
        return self.jobs.get("job-1")


@pytest.fixture
def reranking(redis_url: str, namespace: str) -> Reranking:
    """Jobs and candidates in Redis; the provider is away."""
    jobs = RedisJobs(connect(redis_url, timeout=5.0), clock=SystemClock(), result_ttl=60.0, namespace=namespace)
    candidates = RedisCandidates(connect(redis_url, timeout=5.0, decode=False), ttl=60.0, namespace=namespace)
    made = Reranking(jobs, candidates)
    made.provider.problem = AWAY
    return made


def test_fail_ends_the_job_with_the_typed_error(reranking: Reranking) -> None:
    """The default: after a few tries the job has failed, and says of what."""
    reranking.submit()
    with capture_logs(), pytest.raises(RerankUnavailable):
        reranking.run()
    job = reranking.jobs.get("job-1")
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.transient) == ("rerank_unavailable", True)


def test_fused_ends_the_job_unjudged(reranking: Reranking) -> None:
    """Retrieval's order comes back at once, flagged, with nothing kept."""
    reranking.submit(on_unavailable="fused")
    job = reranking.run()
    assert job.state is JobState.DONE
    assert job.result is not None
    assert (job.result.outcome, job.result.reranked, job.result.kept) == (Outcome.UNJUDGED, False, ())
    assert [one.fused_rank for one in job.result.unscored] == [1, 2, 3]
    assert job.result.unavailable_because == {"far": "rerank_unavailable"}


@pytest.mark.parametrize(("choice", "state"), [("fail", "failed"), ("wait", "failed"), ("fused", "done")])
def test_a_refusal_is_not_waited_for(reranking: Reranking, choice: str, state: str) -> None:
    """Asked once: waiting cannot help; retrieval's order comes where it was chosen, with the code of the refusal."""
    reranking.provider.problem = ProviderRefused("it does not know the key")
    reranking.submit(on_unavailable=choice)
    with capture_logs(), nullcontext() if choice == "fused" else pytest.raises(ProviderRefused):
        reranking.run()
    job = reranking.jobs.get("job-1")
    assert (job.state, reranking.provider.calls, len(reranking.queue.reranks)) == (state, 1, 0)
    codes = [job.error.code] if job.error else list(job.result.unavailable_because.values()) if job.result else []
    assert codes == ["provider_refused"]


@pytest.mark.parametrize("choice", ["fail", "wait"])
def test_an_answer_that_cannot_be_used_is_bought_twice_at_most(reranking: Reranking, choice: str) -> None:
    """Then the job fails with its code, however much time it has left; what it cost is carried over the wait."""
    reranking.provider.problem = ProviderAnswerInvalid("a web page")
    reranking.submit(on_unavailable=choice)
    if choice == "wait":
        assert reranking.run().state is JobState.QUEUED
        reranking.usage = reranking.queue.spent.pop()
    with capture_logs(), pytest.raises(ProviderAnswerInvalid):
        reranking.run(int(choice == "wait"))
    job = reranking.jobs.get("job-1")
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.FAILED, "provider_answer_invalid")
    assert reranking.provider.calls == 2


def test_wait_succeeds_once_the_reranker_is_back(reranking: Reranking) -> None:
    """The job waits in the queue, more often than it may be begun in vain, and is then judged like any other."""
    reranking.submit(on_unavailable="wait")
    for waits in range(5):
        job = reranking.run(waits)
        assert (job.state, reranking.queue.reranks.pop()) == (JobState.QUEUED, "job-1")
        told, delay = reranking.queue.delays.pop()
        assert told == waits + 1
        assert 0.5 * 2**waits <= delay <= min(30.0, 2.0**waits)
    reranking.provider.problem = None
    job = reranking.run(5)
    assert (job.state, job.attempts) == (JobState.DONE, 1)
    assert job.result is not None
    assert (job.result.outcome, job.result.judged_by) == (Outcome.ANSWERED, "far")


def test_wait_ends_with_the_deadline(reranking: Reranking) -> None:
    """When there is no time left to wait, the job expires, and its error says for what it waited."""
    reranking.submit(on_unavailable="wait", timeout=0.4)
    with capture_logs(), pytest.raises(DeadlineExceeded):
        reranking.run()
    job = reranking.jobs.get("job-1")
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.EXPIRED, "deadline_exceeded")
    assert "it does not answer" in job.error.message
    assert not reranking.queue.reranks


def test_a_cancelled_job_does_not_come_back_from_waiting(reranking: Reranking) -> None:
    """Its message finds it ended."""
    reranking.submit(on_unavailable="wait")
    reranking.run()
    reranking.jobs.finish("job-1", JobState.CANCELLED, at=time.time(), error=OpinionError("cancelled").info())
    reranking.provider.problem = None
    assert reranking.run(1).state is JobState.CANCELLED
