"""What each kind of process works with: filled by `bootstrap`, used by the tasks."""

from dataclasses import dataclass

from second_opinion.pipeline.adapters.elasticsearch import (
    Connection,
    ElasticsearchApiKeys,
    ElasticsearchCalibrations,
    ElasticsearchChunks,
    ElasticsearchCollections,
    ElasticsearchContents,
    ElasticsearchDocuments,
    ElasticsearchJudgements,
    ElasticsearchTraces,
    ElasticsearchWebhooks,
)
from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.hands import RedisHands
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.adapters.redis.workers import RedisWorkers
from second_opinion.pipeline.admission import Admission
from second_opinion.pipeline.ingest.accept import Acceptance
from second_opinion.pipeline.ingest.extract import Extraction
from second_opinion.pipeline.ingest.reconcile import Reconciler
from second_opinion.pipeline.ingest.reindex import Reindexer
from second_opinion.pipeline.ingest.remake import Remaking
from second_opinion.pipeline.ingest.sweep import Sweeper
from second_opinion.pipeline.ingest.work import Indexing
from second_opinion.pipeline.panel import Panel
from second_opinion.pipeline.rescue import QueryRescue
from second_opinion.pipeline.retrieval import RetrievalParts
from second_opinion.pipeline.submission import QueryDesk
from second_opinion.pipeline.webhook_book import WebhookBook
from second_opinion.workers.clock import SystemClock
from second_opinion.workers.figures import QueueReader
from second_opinion.workers.jobs import JobWork
from second_opinion.workers.queue import CeleryTaskQueue
from second_opinion.workers.trace_writer import TraceWriter


@dataclass(frozen=True, slots=True)
class Stores:
    """Elasticsearch behind its ports."""

    connection: Connection
    documents: ElasticsearchDocuments
    contents: ElasticsearchContents
    chunks: ElasticsearchChunks
    collections: ElasticsearchCollections
    traces: ElasticsearchTraces
    judgements: ElasticsearchJudgements
    calibrations: ElasticsearchCalibrations
    api_keys: ElasticsearchApiKeys
    webhooks: ElasticsearchWebhooks


@dataclass(frozen=True, slots=True)
class Callers:
    """What the side of the callers, and the intake worker, work with."""

    stores: Stores
    documents: Acceptance
    queries: QueryDesk
    jobs: RedisJobs
    queue: CeleryTaskQueue
    clock: SystemClock
    admission: Admission
    figures: QueueReader
    register: RedisWorkers
    webhook_book: WebhookBook

    def close(self) -> None:
        """Give the connections back."""
        self.jobs.close()
        self.queue.close()
        self.register.close()
        self.stores.connection.close()


@dataclass(frozen=True, slots=True)
class IndexParts:
    """What an index worker works with."""

    indexing: Indexing
    remaking: Remaking


@dataclass(frozen=True, slots=True)
class ExtractParts:
    """What an extract worker works with."""

    extraction: Extraction


@dataclass(frozen=True, slots=True)
class MaintenanceParts:
    """What a maintenance worker works with."""

    hands: RedisHands
    rescue: QueryRescue
    reconciler: Reconciler
    reindexer: Reindexer
    sweeper: Sweeper
    collections: ElasticsearchCollections
    traces: ElasticsearchTraces
    trace_days: int
    clock: SystemClock


@dataclass(frozen=True, slots=True)
class RetrieveParts:
    """What a retrieve worker works with."""

    work: JobWork
    jobs: RedisJobs
    retrieval: RetrievalParts
    candidates: RedisCandidates
    queue: CeleryTaskQueue
    clock: SystemClock


@dataclass(frozen=True, slots=True)
class RerankParts:
    """What a rerank worker works with.

    Attributes:
        traces: None when no traces are kept.
        trace_query_text: Traces keep the question's text.
    """

    work: JobWork
    panel: Panel
    candidates: RedisCandidates
    jobs: RedisJobs
    queue: CeleryTaskQueue
    clock: SystemClock
    traces: TraceWriter | None = None
    trace_query_text: bool = True
