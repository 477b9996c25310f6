"""A whole system in one process: the client's parts on the public doubles, with workers that run at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import CliRunner, Result

from second_opinion.gateway.cli.program import program
from second_opinion.gateway.client import Client
from second_opinion.gateway.parts import Parts
from second_opinion.pipeline.answer import JudgementParts, judge_candidates, retrieve_candidates
from second_opinion.pipeline.calibration import CollectionCalibrations, NoCalibration
from second_opinion.pipeline.ingest import Policy, Stores
from second_opinion.pipeline.ports import Guard, no_guard
from second_opinion.pipeline.retrieval import RetrievalParts
from second_opinion.pipeline.submission import QueryDesk
from second_opinion.pipeline.tracing import trace
from second_opinion.pipeline.webhook_book import WebhookBook
from second_opinion.schemas.chunk import Chunk
from second_opinion.schemas.collection import IndexFingerprint, QueryDefaults
from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.job import JobState
from second_opinion.testing.access import MemoryApiKeys
from second_opinion.testing.calibrations import MemoryCalibrations
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.ingest import IngestRig, memory_stores
from second_opinion.testing.jobs import MemoryJobs
from second_opinion.testing.models import DIMS, WordEmbedder, WordReranker
from second_opinion.testing.queue import MemoryQueue
from second_opinion.testing.traces import MemoryJudgements, MemoryTraces
from second_opinion.testing.webhooks import MemoryWebhooks

FINGERPRINT = IndexFingerprint(embedding_model="word-embedder", embedding_revision="1", dims=DIMS, chunker="lines@1")


class LineChunker:
    """A chunk for each line that is not blank."""

    name = "lines@1"

    def chunk(self, text: str, *, media_type: str, title: str, guard: Guard = no_guard) -> list[Chunk]:  # noqa: ARG002
        """Return the chunks."""
        chunks: list[Chunk] = []
        start = 0
        for line in text.splitlines(keepends=True):
            stripped = line.rstrip("\n")
            if stripped.strip():
                chunks.append(Chunk(ordinal=len(chunks), text=stripped, start=start, end=start + len(stripped)))
            start += len(line)
        return chunks


class PromptQueue(MemoryQueue):
    """A queue whose messages are worked off as soon as they are sent, unless it is `stopped`."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        self.work: Callable[[], None] = lambda: None

    def index(self, documents: Sequence[DocumentRef], *, front: bool = False) -> None:
        """Take a message, and work it off."""
        super().index(documents, front=front)
        self._run()

    def extract(self, document: DocumentRef, *, front: bool = False) -> None:
        """Take a message, and work it off."""
        super().extract(document, front=front)
        self._run()

    def retrieve(self, job_id: str, *, front: bool = False) -> None:
        """Take a message, and work it off."""
        super().retrieve(job_id, front=front)
        self._run()

    def _run(self) -> None:
        if not self.stopped:
            self.work()


@dataclass
class MemorySystem:
    """Client, command line and workers over one set of doubles."""

    stores: Stores
    jobs: MemoryJobs
    queue: PromptQueue
    rig: IngestRig
    parts: Parts
    client: Client
    runner: CliRunner = field(default_factory=CliRunner)

    def opinion(self, *arguments: str, stdin: str | bytes | None = None, **environment: str) -> Result:
        """Run the command line on this system."""
        return self.runner.invoke(
            program,
            list(arguments),
            obj=lambda: Client(parts=self.parts),
            input=stdin,
            env={"COLUMNS": "100", **environment},
        )

    def work(self) -> None:
        """Do what the workers would."""
        while self.queue.batches or self.queue.extractions:
            self.rig.drain()
        while self.queue.retrievals:
            self._answer(self.queue.retrievals.popleft())

    def _answer(self, job_id: str) -> None:
        embedder = WordEmbedder()
        retrieval = RetrievalParts(
            collections=self.stores.collections,
            documents=self.stores.documents,
            chunks=self.stores.chunks,
            embedder=embedder,
        )
        reranker = WordReranker()
        of_collections = CollectionCalibrations(reranker, self.parts.calibrations)
        judgement = JudgementParts(reranker, NoCalibration("logit"), of_collections)
        job = self.jobs.begin(job_id, JobState.RETRIEVING, owner="worker", seconds=60.0)
        try:
            handover = retrieve_candidates(job, retrieval, clock=self.stores.clock)
            result = judge_candidates(job, handover, judgement, clock=self.stores.clock)
        except OpinionError as problem:
            self.jobs.finish(job_id, JobState.FAILED, at=self.stores.clock.now(), error=problem.info())
        else:
            self.jobs.finish(job_id, JobState.DONE, at=self.stores.clock.now(), result=result)
            self.parts.traces.write([trace(job, result, handover.fusion.candidates, at=self.stores.clock.now())])


@pytest.fixture
def system() -> MemorySystem:
    """An empty system."""
    clock, queue = ManualClock(), PromptQueue()
    held: dict[str, Any] = {name: getattr(memory_stores(FINGERPRINT, clock=clock), name) for name in Stores.__slots__}
    stores = Stores(**{**held, "queue": queue})
    jobs = MemoryJobs(clock=clock)
    webhooks = MemoryWebhooks()
    book = WebhookBook(webhooks, clock)
    desk = QueryDesk(
        collections=stores.collections,
        jobs=jobs,
        queue=queue,
        ids=stores.ids,
        clock=clock,
        defaults=QueryDefaults(),
        webhooks=book,
    )
    parts = Parts(
        stores=stores,
        policy=Policy(),
        queries=desk,
        jobs=jobs,
        traces=MemoryTraces(),
        judgements=MemoryJudgements(),
        calibrations=MemoryCalibrations(),
        api_keys=MemoryApiKeys(),
        webhooks=webhooks,
        webhook_book=book,
    )
    made = MemorySystem(
        stores=stores,
        jobs=jobs,
        queue=queue,
        rig=IngestRig.on(stores, LineChunker(), WordEmbedder()),
        parts=parts,
        client=Client(parts=parts),
    )
    queue.work = made.work
    return made


@pytest.fixture
def handbook(system: MemorySystem) -> MemorySystem:
    """A system with three documents in it."""
    system.client.submit_documents(
        [
            {
                "id": "refunds.md",
                "title": "Refunds",
                "text": "A manager approves refunds above one hundred euros.\nSmall refunds need nobody.",
                "metadata": {"year": 2024, "lang": "en"},
            },
            {
                "id": "dogs.md",
                "text": "Dogs may visit the office on Fridays.",
                "metadata": {"year": 2019, "lang": "en"},
            },
            {"id": "tea.md", "text": "Green tea is in the third drawer.", "metadata": {"lang": "de", "shelf": "3"}},
        ]
    )
    return system
