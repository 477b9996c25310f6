"""Queries whose messages are delivered five times, shuffled, to many threads: each has one outcome, for good."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from second_opinion.pipeline.answer import JudgementParts
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.panel import Panel
from second_opinion.pipeline.retrieval import RetrievalParts
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.job import Job
from second_opinion.schemas.messages import RerankCandidates, RunQuery
from second_opinion.testing.builders import a_query
from second_opinion.testing.ingest import IngestRig
from second_opinion.testing.models import WordReranker
from second_opinion.testing.queue import MemoryQueue
from second_opinion.workers.clock import SystemClock, UlidSource
from second_opinion.workers.jobs import JobWork
from second_opinion.workers.parts import RerankParts, RetrieveParts
from second_opinion.workers.tasks import rerank, retrieve
from tests.faults.deliveries import THREADS, TIMES

TIMEOUT = 3_600.0

Deliver = Callable[[], object]


@dataclass(slots=True)
class Outcomes:
    """What became of the queries.

    Attributes:
        changed: Jobs whose terminal record was another later on.
        answers: By job, what was kept, for the comparison with a model.
        told: Codes of what deliveries raised, such as `lease_lost`.
    """

    deliveries: int = 0
    changed: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    terminal: dict[str, Job] = field(default_factory=dict)


class Answering:
    """Both halves of a query on given stores, with the doubles' models.

    Args:
        rig: Where the documents are.
        jobs: Where jobs are recorded.
        candidates: Where the first half leaves what it found.
        queue: Where messages go; one of its own, if none is given.
        clock: Time; the real one, if none is given.
        lease_seconds: As `JobWork` takes it.
    """

    def __init__(
        self,
        rig: IngestRig,
        jobs: Any,
        candidates: Any,
        *,
        queue: Any = None,
        clock: Any = None,
        lease_seconds: float = 600.0,
    ) -> None:
        clock, self.jobs, self.queue = clock or SystemClock(), jobs, queue or MemoryQueue()
        self._clock, stores, queue = clock, rig.stores, self.queue
        work = JobWork(jobs, clock, max_attempts=3, lease_seconds=lease_seconds, ids=UlidSource())
        self._retrieve = RetrieveParts(
            work=work,
            jobs=jobs,
            retrieval=RetrievalParts(stores.collections, stores.documents, stores.chunks, rig.embedder),
            candidates=candidates,
            queue=queue,
            clock=clock,
        )
        self._rerank = RerankParts(
            work=work,
            panel=Panel({"default": JudgementParts(WordReranker(), NoCalibration("logit"))}),
            candidates=candidates,
            jobs=jobs,
            queue=queue,
            clock=clock,
        )

    def submit(self, job_id: str, text: str) -> None:
        """Record a query, its message in nobody's hands."""
        now = self._clock.now()
        self.jobs.create(a_query(text, job_id=job_id, candidates=10), submitted_at=now, expires_at=now + TIMEOUT)

    def retrieve(self, job_id: str) -> None:
        """Deliver the first half's message."""
        retrieve.run_query(RunQuery(job_id=job_id), self._retrieve)

    def rerank(self, job_id: str) -> None:
        """Deliver the second half's message."""
        rerank.rerank_candidates(RerankCandidates(job_id=job_id), self._rerank)


def repeated(answering: Answering, questions: dict[str, str], seed: int) -> Outcomes:
    """Ask, and deliver each half's message `TIMES` times; then both halves' all over again, when all have ended."""
    rng, outcomes = random.Random(f"queries {seed}"), Outcomes()  # noqa: S311 - has to be repeatable
    for job_id, text in questions.items():
        answering.submit(job_id, text)
    firsts = [(answering.retrieve, one) for one in questions] * TIMES
    seconds = [(answering.rerank, one) for one in questions] * TIMES
    for wave in (firsts, [*firsts, *seconds], seconds):
        rng.shuffle(wave)
        _deliver(answering, wave, outcomes)
        _drain(answering, outcomes)
    for one in questions:
        job = answering.jobs.get(one)
        if job != outcomes.terminal.get(one):
            outcomes.changed.append(one)
        outcomes.answers[one] = _answer(job)
    return outcomes


def once(answering: Answering, questions: dict[str, str]) -> dict[str, Any]:
    """Return the answers when each message is delivered once, in order."""
    for job_id, text in questions.items():
        answering.submit(job_id, text)
        answering.retrieve(job_id)
        answering.rerank(job_id)
    return {one: _answer(answering.jobs.get(one)) for one in questions}


def _deliver(answering: Answering, wave: list[tuple[Callable[[str], None], str]], outcomes: Outcomes) -> None:
    def deliver(one: tuple[Callable[[str], None], str]) -> tuple[str, Job, str]:
        half, job_id = one
        told = ""
        try:
            half(job_id)
        except OpinionError as problem:
            told = problem.code
        return job_id, answering.jobs.get(job_id), told

    with ThreadPoolExecutor(THREADS) as pool:
        for job_id, job, told in pool.map(deliver, wave):
            outcomes.deliveries += 1
            if told:
                outcomes.told[told] += 1
            if job.is_terminal and outcomes.terminal.setdefault(job_id, job) != job:
                outcomes.changed.append(job_id)


def _drain(answering: Answering, outcomes: Outcomes) -> None:
    """Work off what the deliveries have sent."""
    queue = answering.queue
    while queue.retrievals or queue.reranks:
        wave = [(answering.retrieve, one) for one in queue.retrievals] + [
            (answering.rerank, one) for one in queue.reranks
        ]
        queue.retrievals.clear()
        queue.reranks.clear()
        _deliver(answering, wave, outcomes)


def _answer(job: Job) -> Any:
    if job.result is None:
        return [job.state, job.error.code if job.error else None]
    kept = [[one.document_id, one.text, round(one.raw_score, 6)] for one in job.result.kept]
    return [job.state, job.result.outcome, kept]
