"""A rerank task without a reranker, on real Redis: what each query chose to happen."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.answer import JudgementParts
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.panel import Panel
from second_opinion.pipeline.ports import Guard, no_guard
from second_opinion.schemas.errors import OpinionError, RerankUnavailable
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.messages import RerankCandidates
from second_opinion.schemas.verdict import Outcome
from second_opinion.testing.builders import a_fused, a_handover, a_query
from second_opinion.testing.models import WordReranker
from second_opinion.testing.queue import MemoryQueue
from second_opinion.workers.bootstrap import RerankParts
from second_opinion.workers.clock import SystemClock
from second_opinion.workers.jobs import JobWork
from second_opinion.workers.tasks.rerank import rerank_candidates

pytestmark = pytest.mark.stack
QUESTION = "take one tablet"


class Provider(WordReranker):
    """Can be away, and can need a while for each passage that it reads."""

    away = False

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Answer, or fail."""
        if self.away:
            raise RerankUnavailable("it does not answer")
        return super().score(query, passages, guard=guard)


@dataclass
class Reranking:
    """A rerank worker's parts with a reranker that can be away."""

    jobs: RedisJobs
    candidates: RedisCandidates
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    provider: Provider = field(default_factory=Provider)

    def submit(self, *, timeout: float = 60.0, **choices: object) -> None:
        """Put a job before the worker."""
        now = time.time()
        self.jobs.create(a_query(QUESTION, **choices), submitted_at=now, expires_at=now + timeout)
        self.candidates.put("job-1", a_handover(*(a_fused(rank) for rank in (1, 2, 3))))

    def run(self, waits: int = 0) -> Job:
        """Work on the job as the task does; return it as it then is."""
        clock = SystemClock()
        parts = RerankParts(
            work=JobWork(self.jobs, clock, max_attempts=2),
            panel=Panel({"far": JudgementParts(reranker=self.provider, calibration=NoCalibration("logit"))}),
            candidates=self.candidates,
            jobs=self.jobs,
            queue=self.queue,
            clock=clock,
        )
        rerank_candidates(RerankCandidates(job_id="job-1", waits=waits), parts)
        return self.jobs.get("job-1")


@pytest.fixture
def reranking(redis_url: str, namespace: str) -> Reranking:
    """Jobs and candidates in Redis; the provider is away."""
    jobs = RedisJobs(connect(redis_url, timeout=5.0), clock=SystemClock(), result_ttl=60.0, namespace=namespace)
    candidates = RedisCandidates(connect(redis_url, timeout=5.0, decode=False), ttl=60.0, namespace=namespace)
    made = Reranking(jobs, candidates)
    made.provider.away = True
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


def test_wait_succeeds_once_the_reranker_is_back(reranking: Reranking) -> None:
    """The job waits in the queue, more often than it may be begun in vain, and is then judged like any other."""
    reranking.submit(on_unavailable="wait")
    for waits in range(5):
        job = reranking.run(waits)
        assert (job.state, reranking.queue.reranks.pop()) == (JobState.QUEUED, "job-1")
        told, delay = reranking.queue.delays.pop()
        assert told == waits + 1
        assert 0.5 * 2**waits <= delay <= min(30.0, 2.0**waits)
    reranking.provider.away = False
    job = reranking.run(5)
    assert (job.state, job.attempts) == (JobState.DONE, 1)
    assert job.result is not None
    assert (job.result.outcome, job.result.judged_by) == (Outcome.ANSWERED, "far")


def test_wait_ends_with_the_deadline(reranking: Reranking) -> None:
    """When nothing is left to wait for, the job ends with the reason."""
    reranking.submit(on_unavailable="wait", timeout=0.4)
    with capture_logs(), pytest.raises(OpinionError, match=r"it does not answer|no answer within"):
        reranking.run()
    assert reranking.jobs.get("job-1").state in {JobState.FAILED, JobState.EXPIRED}
    assert not reranking.queue.reranks


def test_a_cancelled_job_does_not_come_back_from_waiting(reranking: Reranking) -> None:
    """Its message finds it ended."""
    reranking.submit(on_unavailable="wait")
    reranking.run()
    reranking.jobs.finish("job-1", JobState.CANCELLED, at=time.time(), error=OpinionError("cancelled").info())
    reranking.provider.away = False
    assert reranking.run(1).state is JobState.CANCELLED
