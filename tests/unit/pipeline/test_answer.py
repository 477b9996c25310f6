"""Both halves of an answer put together, on the doubles."""

import pytest

from second_opinion.pipeline.answer import JudgementParts, judge_candidates, retrieve_candidates
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.job_lease import JobLease
from second_opinion.pipeline.ports import Seen, Swap
from second_opinion.pipeline.retrieval import RetrievalParts
from second_opinion.schemas.chunk import IndexedChunk
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint
from second_opinion.schemas.document import DocumentRecord, DocumentState, WriteSet
from second_opinion.schemas.errors import DeadlineExceeded, JobCancelled, JobStoreUnavailable, UnknownJob
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.verdict import Decision, Outcome, RefusalReason
from second_opinion.testing.builders import a_hit, a_query, a_result
from second_opinion.testing.chunks import MemoryChunks
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.collections import MemoryCollections
from second_opinion.testing.documents import MemoryDocuments
from second_opinion.testing.jobs import MemoryJobs
from second_opinion.testing.models import WordEmbedder, WordReranker

LEAFLETS = {
    "children": "ibuprofen dosage for children by weight",
    "adults": "ibuprofen dosage for adults",
    "paracetamol": "paracetamol for children",
    "bicycle": "oil the chain of a bicycle",
}
JUDGEMENT = JudgementParts(reranker=WordReranker(), calibration=NoCalibration("logit"))


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock()


@pytest.fixture
def parts() -> RetrievalParts:
    """An index of a few leaflets."""
    embedder = WordEmbedder()
    made_by = IndexFingerprint(embedding_model="m", embedding_revision="1", dims=64, chunker="c")
    collections, documents, chunks = MemoryCollections(made_by), MemoryDocuments(), MemoryChunks()
    index = collections.ensure(DEFAULT_COLLECTION).index
    for document_id, text in LEAFLETS.items():
        hit = a_hit(document_id, text=text)
        vector = tuple(embedder.embed_passages([text])[0].tolist())
        chunks.write(index, [IndexedChunk(**hit.model_dump(), vector=vector, written_at=1.0)])
        record = DocumentRecord(
            key=hit.key,
            collection=DEFAULT_COLLECTION,
            document_id=document_id,
            content_hash="h",
            target="g",
            state=DocumentState.INDEXED,
            committed={index: WriteSet(write_set=hit.write_set, chunks=1)},
            accepted_at=1.0,
            updated_at=1.0,
        )
        stored: list[Seen | None] = documents.swap([Swap(record, None)])
        assert None not in stored
    chunks.refresh(index)
    return RetrievalParts(collections=collections, documents=documents, chunks=chunks, embedder=embedder)


def a_job(clock: ManualClock, text: str = "ibuprofen dosage for children", **choices: float) -> Job:
    """Return a job that was submitted two seconds ago."""
    now = clock.now()
    return Job(
        job_id="job-1",
        state=JobState.RETRIEVING,
        query=a_query(text, **choices),
        submitted_at=now - 2.0,
        expires_at=now + 58.0,
    )


def test_an_answer_carries_every_number(parts: RetrievalParts, clock: ManualClock) -> None:
    """Kept and dropped passages have all ranks and scores, waiting is timed apart from work, and models are named."""
    job = a_job(clock, candidates=3)
    handover = retrieve_candidates(job, parts, clock=clock)
    clock.advance(0.5)
    result = judge_candidates(job, handover, JUDGEMENT, clock=clock)
    assert result.outcome is Outcome.ANSWERED
    assert (result.kept[0].document_id, result.kept[0].decision) == ("children", Decision.KEPT)
    assert result.kept[0].text == LEAFLETS["children"]
    assert [p.rank for p in (*result.kept, *result.dropped)] == [1, 2, 3]
    assert {p.text for p in result.dropped} <= {""}
    assert [loss.document_id for loss in result.lost_in_fusion] == ["bicycle"]
    assert (result.candidates, result.depth, result.stale_dropped) == (3, 5, 0)
    assert (result.embedder, result.reranker) == ("word-embedder@1", "word-reranker@1")
    assert list(result.milliseconds) == [
        *("queue_retrieve", "embed", "search", "verify", "fuse"),
        *("queue_rerank", "rerank", "judge", "total"),
    ]
    assert result.milliseconds["queue_retrieve"] == pytest.approx(2_000.0)
    assert result.milliseconds["queue_rerank"] == pytest.approx(500.0)
    assert result.milliseconds["total"] == pytest.approx(2_500.0)


def test_a_result_survives_its_json(parts: RetrievalParts, clock: ManualClock) -> None:
    """What callers read is what was judged, to the last digit."""
    job = a_job(clock)
    result = judge_candidates(job, retrieve_candidates(job, parts, clock=clock), JUDGEMENT, clock=clock)
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_an_off_topic_query_is_refused_with_its_reason(parts: RetrievalParts, clock: ManualClock) -> None:
    """A refusal is a result: it has the best relevance and all candidates, dropped."""
    job = a_job(clock, "office dog policy")
    result = judge_candidates(job, retrieve_candidates(job, parts, clock=clock), JUDGEMENT, clock=clock)
    assert (result.outcome, result.reason, result.kept) == (Outcome.REFUSED, RefusalReason.BELOW_FLOOR, ())
    assert len(result.dropped) == len(LEAFLETS)
    assert result.best_relevance == max(p.relevance for p in result.dropped)


def test_an_empty_collection_refuses_without_asking_the_model(clock: ManualClock) -> None:
    """No candidates: the reason says so, and nothing is scored."""
    made_by = IndexFingerprint(embedding_model="m", embedding_revision="1", dims=64, chunker="c")
    collections = MemoryCollections(made_by)
    collections.ensure(DEFAULT_COLLECTION)
    empty = RetrievalParts(
        collections=collections, documents=MemoryDocuments(), chunks=MemoryChunks(), embedder=WordEmbedder()
    )
    job = a_job(clock)
    result = judge_candidates(job, retrieve_candidates(job, empty, clock=clock), JUDGEMENT, clock=clock)
    assert (result.reason, result.best_relevance, result.candidates) == (RefusalReason.NO_CANDIDATES, None, 0)


def test_clocks_that_differ_give_no_negative_times(parts: RetrievalParts, clock: ManualClock) -> None:
    """A job that seems to have been submitted in the future has waited for no time."""
    job = a_job(clock).model_copy(update={"submitted_at": clock.now() + 5.0})
    result = judge_candidates(job, retrieve_candidates(job, parts, clock=clock), JUDGEMENT, clock=clock)
    assert min(result.milliseconds.values()) == 0.0


class CountedJobs(MemoryJobs):
    """Counts how often it is asked."""

    asked = 0
    down = False

    def get(self, job_id: str) -> Job:
        """Return a job, unless the store is down."""
        self.asked += 1
        if self.down:
            raise JobStoreUnavailable("down")
        return super().get(job_id)


@pytest.fixture
def jobs(clock: ManualClock) -> CountedJobs:
    """A store with one job of sixty seconds."""
    jobs = CountedJobs(clock=clock)
    jobs.create(a_query(), submitted_at=clock.now(), expires_at=clock.now() + 60.0)
    return jobs


def test_the_guard_asks_now_and_then(jobs: CountedJobs, clock: ManualClock) -> None:
    """It is called between any two pairs, so it reads the job only every quarter of a second."""
    guard = JobLease(jobs.get("job-1"), jobs, clock, seconds=15.0)
    jobs.asked = 0
    for _ in range(100):
        guard()
        clock.advance(0.01)
    assert 3 <= jobs.asked <= 4


def test_the_guard_ends_cancelled_work(jobs: CountedJobs, clock: ManualClock) -> None:
    """Work stops soon after the job was cancelled, finished by another worker, or forgotten."""
    guard = JobLease(jobs.get("job-1"), jobs, clock, seconds=15.0)
    error = JobCancelled("cancelled by the caller").info()
    jobs.finish("job-1", JobState.CANCELLED, at=clock.now(), error=error)
    guard()
    clock.advance(0.25)
    with pytest.raises(JobCancelled, match="by the caller"):
        guard()
    jobs.create(a_query(job_id="job-2"), submitted_at=clock.now(), expires_at=clock.now() + 60.0)
    guard = JobLease(jobs.get("job-2"), jobs, clock, seconds=15.0)
    jobs.finish("job-2", JobState.DONE, at=clock.now(), result=a_result("job-2"))
    clock.advance(0.25)
    with pytest.raises(JobCancelled, match="is done"):
        guard()
    nobody = jobs.get("job-2").model_copy(update={"job_id": "job-3"})
    guard = JobLease(nobody, jobs, clock, seconds=15.0)
    clock.advance(0.25)
    with pytest.raises(UnknownJob):
        guard()


def test_the_guard_ends_late_work(jobs: CountedJobs, clock: ManualClock) -> None:
    """The deadline is checked at every call, without asking anybody."""
    guard = JobLease(jobs.get("job-1"), jobs, clock, seconds=15.0)
    clock.advance(60.0)
    jobs.down = True
    with pytest.raises(DeadlineExceeded, match="60 seconds"):
        guard()


def test_the_guard_lets_work_go_on_while_it_cannot_ask(jobs: CountedJobs, clock: ManualClock) -> None:
    """A job store that is down for a moment does not throw away a nearly finished answer."""
    guard = JobLease(jobs.get("job-1"), jobs, clock, seconds=15.0)
    jobs.down = True
    for _ in range(5):
        clock.advance(0.9)
        guard()
    assert jobs.asked > 5
