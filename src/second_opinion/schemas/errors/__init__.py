"""Every error this system raises on purpose, as one tree.

    OpinionError
    ├── TransientError                 the same call may succeed later
    │   ├── StoreUnavailable           Elasticsearch does not answer, or asks to wait
    │   ├── BrokerUnavailable          Redis as a queue does not answer
    │   ├── JobStoreUnavailable        Redis as the keeper of jobs does not answer
    │   ├── GatewayUnavailable         the HTTP gateway does not answer
    │   ├── RerankUnavailable          the second opinion cannot be had right now
    │   │   ├── RerankRateLimited      our own limit on calls to a provider is used up
    │   │   └── ProviderAnswerInvalid  a provider of rerank scores answered, but not with usable scores
    │   ├── WriteConflict              somebody else changed the record first
    │   ├── ContentMissing             what was sent for a document cannot be found
    │   ├── RateLimited                a key has made as many requests as it may for now
    │   ├── WebhookFailed              a webhook's address cannot be told right now
    │   ├── GatewayStopping            the gateway is being stopped
    │   ├── WorkerStopping             a worker that was asked to stop gave its work back
    │   ├── BodyTooSlow                the body of a request stopped coming
    │   └── Overloaded                 come back after `retry_after` seconds
    └── PermanentError                 the same call fails again
        ├── InvalidRequest             what was sent cannot be accepted
        │   ├── InvalidDocument
        │   │   ├── EmptyDocument
        │   │   ├── DocumentTooLarge
        │   │   ├── InvalidEncoding
        │   │   ├── UnsupportedMediaType
        │   │   └── NoTextFound
        │   ├── MetadataTypeConflict
        │   ├── VersionConflict
        │   ├── IdempotencyConflict    an Idempotency-Key was sent with something else before
        │   ├── InvalidQuery
        │   │   ├── EmptyQuery
        │   │   ├── QueryTooLong
        │   │   ├── UnknownReranker        no rerank worker serves a reranker of this name
        │   │   └── FilterTypeMismatch
        │   ├── UnknownFilterField
        │   └── InvalidDataset
        ├── NotFound
        │   ├── UnknownCollection
        │   ├── UnknownDocument
        │   ├── UnknownJob
        │   ├── UnknownTrace
        │   ├── UnknownWebhook
        │   ├── UnknownDelivery
        │   ├── UnknownCandidate
        │   └── UnknownKey
        ├── Unauthenticated            no valid key came with the request
        ├── AccessDenied               the key lacks the scope
        ├── HostNotAllowed             a gateway on loopback was called by a foreign name
        ├── BodyTooLarge
        ├── NotEnoughJudgements        too little is judged to say anything of a floor or a calibration
        ├── CalibrationRefused         a calibration that turns scores around, or is worse than the present one
        ├── ExtraMissing               what was asked for needs an extra that is not installed
        ├── JobCancelled
        ├── DeadlineExceeded
        ├── QueryRefused               a refusal, where a caller wants it raised
        ├── LeaseLost                  another worker has taken the work over
        ├── AttemptsExhausted          tried as often as allowed; the last error is in the message
        ├── IndexMismatch              the index was made by another model, chunker or analyzer
        ├── ReindexRefused             a step of a reindex that cannot be made as things stand
        ├── ModelUnusable              a model file is missing, corrupt or of the wrong kind
        │   └── CalibrationMismatch    the calibration belongs to another model
        ├── ProviderRefused            a provider of rerank scores does not let us in, or refuses what was sent
        ├── TextUnreadable             a model fails on this one text
        ├── RelevanceMissing           a score that is missing or not finite never passes a floor
        ├── StackError                 the local stack cannot do what was asked
        │   ├── JavaMissing
        │   ├── DistributionUnavailable
        │   ├── StateUnusable
        │   ├── PortInUse
        │   └── PartFailed
        └── InternalError              a defect of ours

An error is a `code` for programs, a sentence for people, and a `hint` that says what to do next.
"""

from second_opinion.schemas.errors.access import (
    AccessDenied,
    BodyTooLarge,
    BodyTooSlow,
    GatewayStopping,
    HostNotAllowed,
    RateLimited,
    Unauthenticated,
    UnknownKey,
)
from second_opinion.schemas.errors.base import (
    TEXT_LIMIT,
    ErrorInfo,
    InternalError,
    OpinionError,
    PermanentError,
    TransientError,
)
from second_opinion.schemas.errors.evidence import (
    CalibrationRefused,
    ExtraMissing,
    NotEnoughJudgements,
)
from second_opinion.schemas.errors.missing import (
    NotFound,
    UnknownCandidate,
    UnknownCollection,
    UnknownDelivery,
    UnknownDocument,
    UnknownJob,
    UnknownTrace,
    UnknownWebhook,
)
from second_opinion.schemas.errors.requests import (
    DocumentTooLarge,
    EmptyDocument,
    EmptyQuery,
    FilterTypeMismatch,
    IdempotencyConflict,
    InvalidDataset,
    InvalidDocument,
    InvalidEncoding,
    InvalidQuery,
    InvalidRequest,
    MetadataTypeConflict,
    NoTextFound,
    QueryTooLong,
    UnknownFilterField,
    UnknownReranker,
    UnsupportedMediaType,
    VersionConflict,
)
from second_opinion.schemas.errors.reranking import (
    CalibrationMismatch,
    ModelUnusable,
    ProviderAnswerInvalid,
    ProviderRefused,
    RelevanceMissing,
    RerankRateLimited,
    RerankUnavailable,
    TextUnreadable,
)
from second_opinion.schemas.errors.servers import (
    BrokerUnavailable,
    ContentMissing,
    GatewayUnavailable,
    IndexMismatch,
    JobStoreUnavailable,
    Overloaded,
    ReindexRefused,
    StoreUnavailable,
    WebhookFailed,
    WriteConflict,
)
from second_opinion.schemas.errors.stack import (
    DistributionUnavailable,
    JavaMissing,
    PartFailed,
    PortInUse,
    StackError,
    StateUnusable,
)
from second_opinion.schemas.errors.work import (
    AttemptsExhausted,
    DeadlineExceeded,
    JobCancelled,
    LeaseLost,
    QueryRefused,
    WorkerStopping,
)

__all__ = [
    "TEXT_LIMIT",
    "AccessDenied",
    "AttemptsExhausted",
    "BodyTooLarge",
    "BodyTooSlow",
    "BrokerUnavailable",
    "CalibrationMismatch",
    "CalibrationRefused",
    "ContentMissing",
    "DeadlineExceeded",
    "DistributionUnavailable",
    "DocumentTooLarge",
    "EmptyDocument",
    "EmptyQuery",
    "ErrorInfo",
    "ExtraMissing",
    "FilterTypeMismatch",
    "GatewayStopping",
    "GatewayUnavailable",
    "HostNotAllowed",
    "IdempotencyConflict",
    "IndexMismatch",
    "InternalError",
    "InvalidDataset",
    "InvalidDocument",
    "InvalidEncoding",
    "InvalidQuery",
    "InvalidRequest",
    "JavaMissing",
    "JobCancelled",
    "JobStoreUnavailable",
    "LeaseLost",
    "MetadataTypeConflict",
    "ModelUnusable",
    "NoTextFound",
    "NotEnoughJudgements",
    "NotFound",
    "OpinionError",
    "Overloaded",
    "PartFailed",
    "PermanentError",
    "PortInUse",
    "ProviderAnswerInvalid",
    "ProviderRefused",
    "QueryRefused",
    "QueryTooLong",
    "RateLimited",
    "ReindexRefused",
    "RelevanceMissing",
    "RerankRateLimited",
    "RerankUnavailable",
    "StackError",
    "StateUnusable",
    "StoreUnavailable",
    "TextUnreadable",
    "TransientError",
    "Unauthenticated",
    "UnknownCandidate",
    "UnknownCollection",
    "UnknownDelivery",
    "UnknownDocument",
    "UnknownFilterField",
    "UnknownJob",
    "UnknownKey",
    "UnknownReranker",
    "UnknownTrace",
    "UnknownWebhook",
    "UnsupportedMediaType",
    "VersionConflict",
    "WebhookFailed",
    "WorkerStopping",
    "WriteConflict",
]
