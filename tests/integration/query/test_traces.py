"""The rerank task leaves a trace in Elasticsearch, beside the answer in Redis."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from second_opinion.pipeline.adapters.elasticsearch import (
    Connection,
    ConnectionOptions,
    ElasticsearchTraces,
    IndexNames,
)
from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.answer import JudgementParts
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.panel import Panel
from second_opinion.schemas.job import JobState
from second_opinion.schemas.messages import RerankCandidates
from second_opinion.schemas.trace import Trace, TraceScope
from second_opinion.schemas.verdict import Outcome
from second_opinion.testing.builders import a_fused, a_handover, a_query
from second_opinion.testing.models import WordReranker
from second_opinion.testing.queue import MemoryQueue
from second_opinion.testing.traces import a_trace
from second_opinion.workers.clock import SystemClock
from second_opinion.workers.jobs import JobWork
from second_opinion.workers.parts import RerankParts
from second_opinion.workers.tasks.rerank import rerank_candidates
from second_opinion.workers.trace_writer import TraceWriter

pytestmark = pytest.mark.stack
QUESTION = "one tablet, or two?"


@dataclass
class Reranking:
    """A rerank worker's parts with a model that counts words."""

    jobs: RedisJobs
    candidates: RedisCandidates

    def run(self, traces: TraceWriter | None, *, job_id: str = "job-1", with_query: bool = True) -> None:
        """Judge three candidates of a job as the task does."""
        now = time.time()
        self.jobs.create(a_query(QUESTION, job_id=job_id), submitted_at=now, expires_at=now + 60)
        self.candidates.put(job_id, a_handover(*(a_fused(rank) for rank in (1, 2, 3))))
        clock = SystemClock()
        parts = RerankParts(
            work=JobWork(self.jobs, clock, max_attempts=3),
            panel=Panel({"word": JudgementParts(reranker=WordReranker(), calibration=NoCalibration("logit"))}),
            candidates=self.candidates,
            jobs=self.jobs,
            queue=MemoryQueue(),
            clock=clock,
            traces=traces,
            trace_query_text=with_query,
        )
        rerank_candidates(RerankCandidates(job_id=job_id), parts)


@pytest.fixture
def reranking(redis_url: str, namespace: str) -> Reranking:
    """Jobs and candidates in Redis."""
    jobs = RedisJobs(connect(redis_url, timeout=5.0), clock=SystemClock(), result_ttl=60.0, namespace=namespace)
    candidates = RedisCandidates(connect(redis_url, timeout=5.0, decode=False), ttl=60.0, namespace=namespace)
    return Reranking(jobs, candidates)


@pytest.fixture
def stored(elasticsearch: Connection, names: IndexNames) -> Callable[[str], Trace | None]:
    """Reads a trace that was just written."""

    def read(job_id: str) -> Trace | None:
        elasticsearch.writes.indices.refresh(index=f"{names.traces}-*", ignore_unavailable=True)
        return ElasticsearchTraces(elasticsearch, names, days=30).get(job_id)

    return read


def test_a_judged_query_leaves_a_trace(
    reranking: Reranking,
    elasticsearch: Connection,
    names: IndexNames,
    stored: Callable[[str], Trace | None],
) -> None:
    """It says of every candidate what the answer says."""
    writer = TraceWriter(ElasticsearchTraces(elasticsearch, names, days=30))
    reranking.run(writer)
    writer.close()
    result, trace = reranking.jobs.get("job-1").result, stored("job-1")
    assert result is not None
    assert trace is not None
    said = [(one.rank, one.chunk_id, one.relevance, one.decision) for one in (*result.kept, *result.dropped)]
    assert [(one.rank, one.chunk_id, one.relevance, one.decision) for one in trace.candidates] == said
    assert (trace.query, trace.outcome, trace.best_relevance) == (QUESTION, result.outcome, result.best_relevance)
    assert trace.milliseconds == result.milliseconds


def test_a_question_can_be_kept_out_of_elasticsearch(
    reranking: Reranking,
    elasticsearch: Connection,
    names: IndexNames,
    stored: Callable[[str], Trace | None],
) -> None:
    """No index holds its text, only its hash."""
    writer = TraceWriter(ElasticsearchTraces(elasticsearch, names, days=30))
    reranking.run(writer, with_query=False)
    writer.close()
    trace = stored("job-1")
    assert trace is not None
    assert trace.query is None
    everything = elasticsearch.reads.search(index=f"{names.prefix}-*", query={"match_all": {}}, size=100)
    assert "two?" not in str(everything)


def test_without_elasticsearch_the_answer_comes_all_the_same(reranking: Reranking, names: IndexNames) -> None:
    """At once, too: nobody waits for the trace."""
    nowhere = Connection(ConnectionOptions(urls=("http://127.0.0.1:9",), timeout=1.0))
    writer = TraceWriter(ElasticsearchTraces(nowhere, names, days=30), flush_seconds=0.01)
    for number in range(3):
        reranking.run(writer, job_id=f"job-{number}")
    jobs = [reranking.jobs.get(f"job-{number}") for number in range(3)]
    assert [job.state for job in jobs] == [JobState.DONE] * 3
    assert {job.result.outcome for job in jobs if job.result is not None} == {Outcome.ANSWERED}
    writer.close()
    nowhere.close()


def test_traces_can_be_switched_off(
    reranking: Reranking, elasticsearch: Connection, names: IndexNames, stored: Callable[[str], Trace | None]
) -> None:
    """Then there is not even an index for them."""
    reranking.run(None)
    assert stored("job-1") is None
    assert not elasticsearch.reads.indices.get(index=f"{names.traces}-*").body


def test_an_index_that_was_removed_is_made_anew_with_its_mapping(
    elasticsearch: Connection, names: IndexNames, stored: Callable[[str], Trace | None]
) -> None:
    """Elasticsearch would otherwise guess one, and reports would fail for the rest of the day."""
    traces = ElasticsearchTraces(elasticsearch, names, days=30)
    traces.write([a_trace("job-1", 0.5)])
    elasticsearch.writes.indices.delete(index=list(elasticsearch.reads.indices.get(index=f"{names.traces}-*").body))
    assert traces.write([a_trace("job-2", 0.5)]) == [None]
    assert stored("job-2") == a_trace("job-2", 0.5)
    assert [one.traces for one in traces.scorers(TraceScope())] == [1]


def test_long_kept_traces_need_few_indices(elasticsearch: Connection, names: IndexNames) -> None:
    """A year of traces lies in at most 32 indices, and is dropped by those whose days are all over."""
    traces = ElasticsearchTraces(elasticsearch, names, days=366)
    now = 1_700_000_000.0
    ages = [0, 5, 25, 200]
    traces.write([a_trace(f"job-{age}", 0.5, at=now - age * 86_400.0) for age in ages])
    made = sorted(elasticsearch.reads.indices.get(index=f"{names.traces}-*").body)
    assert all(name.endswith("-12d") for name in made)
    assert traces.drop(before=now - 100 * 86_400.0) == 1
    assert sorted(elasticsearch.reads.indices.get(index=f"{names.traces}-*").body) == made[1:]
