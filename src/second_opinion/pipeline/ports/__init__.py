"""What the stages need from the outside, as protocols. Adapters and the public doubles in `testing` implement them.

Every call that leaves the process has a timeout of its own and raises only errors of `schemas.errors`.
"""

from second_opinion.pipeline.ports.access import ApiKeyStore
from second_opinion.pipeline.ports.calibrations import (
    Calibration,
    CalibrationStore,
)
from second_opinion.pipeline.ports.chunks import (
    ChunkIndex,
    ListedHit,
    SearchHits,
    SearchRequest,
    WrittenSet,
)
from second_opinion.pipeline.ports.collections import (
    CollectionStore,
)
from second_opinion.pipeline.ports.documents import (
    ContentStore,
    DocumentStore,
    Seen,
    Swap,
)
from second_opinion.pipeline.ports.evidence import (
    JudgementStore,
    TraceStore,
)
from second_opinion.pipeline.ports.jobs import (
    CandidateStore,
    JobStore,
    TaskQueue,
)
from second_opinion.pipeline.ports.models import (
    Embedder,
    EmbedderSpec,
    Meter,
    MeteredReranker,
    PassageReader,
    QueryReader,
    Reranker,
    RerankerSpec,
    ScoreCache,
    TimedReranker,
    Vectors,
    no_meter,
)
from second_opinion.pipeline.ports.providers import (
    Admission,
    Breaker,
    BreakerState,
    RateLimit,
    RequestBook,
    UsageBook,
)
from second_opinion.pipeline.ports.texts import (
    Chunker,
    Extractor,
    Tokenizer,
)
from second_opinion.pipeline.ports.webhooks import (
    SeenDelivery,
    WebhookSender,
    WebhookStore,
)
from second_opinion.pipeline.ports.work import (
    Clock,
    Guard,
    OperationIds,
    TimeIsOver,
    no_guard,
)
from second_opinion.pipeline.ports.workers import (
    WorkerRegister,
)

__all__ = [
    "Admission",
    "ApiKeyStore",
    "Breaker",
    "BreakerState",
    "Calibration",
    "CalibrationStore",
    "CandidateStore",
    "ChunkIndex",
    "Chunker",
    "Clock",
    "CollectionStore",
    "ContentStore",
    "DocumentStore",
    "Embedder",
    "EmbedderSpec",
    "Extractor",
    "Guard",
    "JobStore",
    "JudgementStore",
    "ListedHit",
    "Meter",
    "MeteredReranker",
    "OperationIds",
    "PassageReader",
    "QueryReader",
    "RateLimit",
    "RequestBook",
    "Reranker",
    "RerankerSpec",
    "ScoreCache",
    "SearchHits",
    "SearchRequest",
    "Seen",
    "SeenDelivery",
    "Swap",
    "TaskQueue",
    "TimeIsOver",
    "TimedReranker",
    "Tokenizer",
    "TraceStore",
    "UsageBook",
    "Vectors",
    "WebhookSender",
    "WebhookStore",
    "WorkerRegister",
    "WrittenSet",
    "no_guard",
    "no_meter",
]
