"""The composition root: what each kind of process works with, on what `workers/stores.py` opens.

Each function opens what one kind of process needs and nothing more: a caller loads no model, a retrieve worker no
reranker. Nothing is connected before it is used, but models are loaded, and checked, at once.
"""

import atexit
from collections.abc import Callable

from second_opinion.pipeline.adapters.elasticsearch import (
    ElasticsearchCalibrations,
    IndexNames,
)
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.admission import Admission, Bounds
from second_opinion.pipeline.answer import JudgementParts
from second_opinion.pipeline.calibration import CollectionCalibrations
from second_opinion.pipeline.company import Company
from second_opinion.pipeline.extraction import Extractors, PlainTextExtractor
from second_opinion.pipeline.ingest.accept import Acceptance
from second_opinion.pipeline.ingest.commit import GroupCommitter
from second_opinion.pipeline.ingest.extract import Extraction
from second_opinion.pipeline.ingest.makers import Makers
from second_opinion.pipeline.ingest.reconcile import Reconciler
from second_opinion.pipeline.ingest.reindex import Reindexer
from second_opinion.pipeline.ingest.remake import Remaking
from second_opinion.pipeline.ingest.stores import Policy
from second_opinion.pipeline.ingest.stores import Stores as IngestStores
from second_opinion.pipeline.ingest.sweep import Sweeper
from second_opinion.pipeline.ingest.work import Indexing
from second_opinion.pipeline.panel import Panel
from second_opinion.pipeline.ports import Guard, WebhookSender, no_guard
from second_opinion.pipeline.rescue import QueryRescue
from second_opinion.pipeline.retrieval import RetrievalParts
from second_opinion.pipeline.submission import QueryDesk
from second_opinion.pipeline.webhook_book import WebhookBook
from second_opinion.workers.app import make_app
from second_opinion.workers.clock import SystemClock, UlidSource
from second_opinion.workers.figures import QueueParts, QueueReader
from second_opinion.workers.jobs import JobWork
from second_opinion.workers.makers import fingerprint, open_embedders, open_makers
from second_opinion.workers.parts import (
    Callers,
    ExtractParts,
    IndexParts,
    MaintenanceParts,
    RerankParts,
    RetrieveParts,
    Stores,
)
from second_opinion.workers.publication import publish
from second_opinion.workers.queue import CeleryTaskQueue
from second_opinion.workers.rerankers import LocalReranker, open_local_rerankers, open_rerankers
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import (
    open_candidates,
    open_connection,
    open_elasticsearch,
    open_hands,
    open_jobs,
    open_scores,
    open_traces,
    open_workers,
)
from second_opinion.workers.trace_writer import TraceWriter

Pulse = Callable[[], Guard]
"""Called in the thread of some work; returns what is called whenever that work shows that it goes on."""


def open_webhook_sender(settings: Settings) -> WebhookSender:
    """Return the way out to webhooks."""
    from second_opinion.pipeline.adapters.webhook_sender import HttpWebhookSender

    return HttpWebhookSender(allow_private=settings.webhook_allow_private)


def open_job_work(settings: Settings, jobs: RedisJobs, pulse: Pulse) -> JobWork:
    """Return what runs the stages of a worker on jobs."""
    return JobWork(
        jobs,
        SystemClock(),
        max_attempts=settings.max_attempts,
        lease_seconds=settings.job_lease_seconds,
        pulse=pulse,
    )


def open_admission(settings: Settings, queue: CeleryTaskQueue) -> Admission:
    """Return what asks callers to come back while the system is full."""
    bounds = Bounds(settings.max_ingest_messages, settings.max_query_messages, settings.max_redis_share)
    return Admission(bounds, SystemClock(), length=queue.length, memory_share=queue.memory_share)


def open_query_desk(  # noqa: PLR0913, PLR0917 - what it works with
    settings: Settings,
    stores: Stores,
    jobs: RedisJobs,
    queue: CeleryTaskQueue,
    admission: Admission,
    webhook_book: WebhookBook,
) -> QueryDesk:
    """Return what takes queries from callers."""
    return QueryDesk(
        collections=stores.collections,
        jobs=jobs,
        queue=queue,
        ids=UlidSource(),
        clock=SystemClock(),
        defaults=settings.query_defaults(),
        rerankers=stores.calibrations,
        admit=admission.queries,
        webhooks=webhook_book,
    )


def ingest_policy(settings: Settings) -> Policy:
    """Return how patient ingest is under these settings."""
    return Policy(
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
        commit_documents=settings.commit_documents,
        commit_seconds=settings.commit_seconds,
        grace_seconds=settings.sweep_grace_seconds,
        tombstone_seconds=settings.tombstone_seconds,
        reuse_embeddings=settings.reuse_embeddings,
    )


def ingest_stores(stores: Stores, queue: CeleryTaskQueue) -> IngestStores:
    """Return what all steps of ingest share."""
    return IngestStores(
        documents=stores.documents,
        contents=stores.contents,
        chunks=stores.chunks,
        collections=stores.collections,
        queue=queue,
        clock=SystemClock(),
        ids=UlidSource(),
    )


def open_queue(settings: Settings) -> CeleryTaskQueue:
    """Return the queue that messages are sent to."""
    return CeleryTaskQueue(make_app(settings))


def callers(settings: Settings) -> Callers:
    """Return what callers and the intake worker work with; no model is loaded."""
    stores, jobs, queue = open_elasticsearch(settings), open_jobs(settings), open_queue(settings)
    admission = open_admission(settings, queue)
    register = open_workers(settings)
    webhook_book = WebhookBook(stores.webhooks, SystemClock())
    figures = QueueReader(
        QueueParts(
            length=queue.length,
            front=queue.front,
            unreadable=queue.unreadable,
            workers=register,
            jobs=jobs,
            documents=stores.documents,
            clock=SystemClock(),
        )
    )
    return Callers(
        admission=admission,
        figures=figures,
        register=register,
        stores=stores,
        # What was sent by name is in Redis already: to refuse it now would lose it.
        documents=Acceptance(ingest_stores(stores, queue), ingest_policy(settings)),
        queries=open_query_desk(settings, stores, jobs, queue, admission, webhook_book),
        webhook_book=webhook_book,
        jobs=jobs,
        queue=queue,
        clock=SystemClock(),
    )


def index_parts(settings: Settings) -> IndexParts:
    """Return what an index worker works with."""
    stores, policy = ingest_stores(open_elasticsearch(settings), open_queue(settings)), ingest_policy(settings)
    known, company = open_makers(settings), Company()
    own, makers = known[fingerprint(settings)], Makers(stores.collections, known)
    committer = GroupCommitter(stores, policy)
    indexing = Indexing(stores, policy, own.chunker, own.embedder, committer, makers=makers, company=company)
    return IndexParts(indexing, Remaking(stores, policy, makers, company))


def extract_parts(settings: Settings) -> ExtractParts:
    """Return what an extract worker works with."""
    stores = ingest_stores(open_elasticsearch(settings), open_queue(settings))
    return ExtractParts(Extraction(stores, ingest_policy(settings), Extractors([PlainTextExtractor()])))


def maintenance_parts(settings: Settings) -> MaintenanceParts:
    """Return what a maintenance worker works with."""
    opened, policy, queue = open_elasticsearch(settings), ingest_policy(settings), open_queue(settings)
    stores = ingest_stores(opened, queue)
    return MaintenanceParts(
        hands=open_hands(settings),
        rescue=QueryRescue(open_jobs(settings), queue, SystemClock(), max_attempts=settings.max_attempts),
        reconciler=Reconciler(stores, policy),
        reindexer=Reindexer(stores, policy),
        sweeper=Sweeper(stores, policy),
        collections=opened.collections,
        traces=opened.traces,
        trace_days=settings.trace_days,
        clock=SystemClock(),
    )


def retrieve_parts(settings: Settings, pulse: Pulse = lambda: no_guard) -> RetrieveParts:
    """Return what a retrieve worker works with."""
    stores, jobs, clock = open_elasticsearch(settings), open_jobs(settings), SystemClock()
    embedders = open_embedders(settings)
    return RetrieveParts(
        work=open_job_work(settings, jobs, pulse),
        jobs=jobs,
        retrieval=RetrievalParts(
            collections=stores.collections,
            documents=stores.documents,
            chunks=stores.chunks,
            embedder=embedders.pop(fingerprint(settings)),
            former=embedders,
        ),
        candidates=open_candidates(settings),
        queue=open_queue(settings),
        clock=clock,
    )


def open_trace_writer(settings: Settings) -> TraceWriter | None:
    """Return what writes traces until the process ends; None when none are kept."""
    if settings.trace_days == 0:
        return None
    writer = TraceWriter(open_traces(settings, open_connection(settings)))
    atexit.register(writer.close)
    return writer


def gateway_rerankers(settings: Settings) -> list[LocalReranker]:
    """Return the rerankers that a gateway answers with in its own process; they are loaded here, and checked."""
    return open_local_rerankers(settings)


def rerank_parts(settings: Settings, pulse: Pulse = lambda: no_guard) -> RerankParts:
    """Return what a rerank worker works with."""
    opened = open_rerankers(settings)
    jobs, clock = open_jobs(settings), SystemClock()
    calibrations = ElasticsearchCalibrations(open_connection(settings), IndexNames(settings.index_prefix))
    for place, one in enumerate(opened):
        # Whoever asks for the latest record finds the one that is asked first.
        publish(calibrations, one.record(at=clock.now() - place / 1_000))
    return RerankParts(
        work=open_job_work(settings, jobs, pulse),
        panel=Panel(
            {
                one.name: JudgementParts(
                    one.reranker,
                    one.calibration,
                    CollectionCalibrations(one.reranker, calibrations),
                    open_scores(settings, one),
                )
                for one in opened
            }
        ),
        candidates=open_candidates(settings),
        jobs=jobs,
        queue=open_queue(settings),
        clock=clock,
        traces=open_trace_writer(settings),
        trace_query_text=settings.trace_query_text,
    )
