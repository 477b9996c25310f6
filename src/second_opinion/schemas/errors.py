"""Every error this system raises on purpose, as one tree.

    OpinionError
    ├── TransientError                 the same call may succeed later
    │   ├── StoreUnavailable           Elasticsearch does not answer, or asks to wait
    │   ├── BrokerUnavailable          Redis as a queue does not answer
    │   ├── JobStoreUnavailable        Redis as the keeper of jobs does not answer
    │   ├── RerankUnavailable          the second opinion cannot be had right now
    │   │   ├── RerankRateLimited      our own limit on calls to a provider is used up
    │   │   └── ProviderAnswerInvalid  a provider of rerank scores answered, but not with usable scores
    │   ├── WriteConflict              somebody else changed the record first
    │   ├── ContentMissing             what was sent for a document cannot be found
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
        │   └── UnknownCandidate
        ├── NotEnoughJudgements        too little is judged to say anything of a floor or a calibration
        ├── CalibrationRefused         a calibration that turns scores around, or is worse than the present one
        ├── ExtraMissing               what was asked for needs an extra that is not installed
        ├── JobCancelled
        ├── DeadlineExceeded
        ├── LeaseLost                  another worker has taken the work over
        ├── AttemptsExhausted          tried as often as allowed; the last error is in the message
        ├── IndexMismatch              the index was made by another model, chunker or analyzer
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

from typing import ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict

TEXT_LIMIT: Final = 2_000


class ErrorInfo(BaseModel):
    """An error as data: what is recorded with a document or a job and what callers receive."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    message: str
    hint: str = ""
    transient: bool = False
    retry_after: float | None = None


class OpinionError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: One sentence for people.
        hint: What to do next; the class's own hint when left out.
    """

    code: ClassVar[str] = "internal_error"
    transient: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message[:TEXT_LIMIT]
        self.hint = self.default_hint if hint is None else hint
        super().__init__(self.message)

    def info(self) -> ErrorInfo:
        """Return this error as data."""
        return ErrorInfo(code=self.code, message=self.message, hint=self.hint, transient=self.transient)

    @classmethod
    def from_info(cls, info: ErrorInfo) -> "OpinionError":
        """Rebuild the error that `info` describes; an unknown code becomes the base class of its kind."""
        known = _BY_CODE.get(info.code, TransientError if info.transient else PermanentError)
        return known.rebuild(info)

    @classmethod
    def rebuild(cls, info: ErrorInfo) -> Self:
        """Rebuild an error of this class."""
        return cls(info.message, hint=info.hint)


class TransientError(OpinionError):
    """The same call may succeed later."""

    code = "transient_error"
    transient = True
    default_hint = "Try again in a moment."


class StoreUnavailable(TransientError):
    """Elasticsearch does not answer, or asks to wait."""

    code = "store_unavailable"
    default_hint = "Check Elasticsearch: opinion doctor"


class BrokerUnavailable(TransientError):
    """Redis as a queue does not answer."""

    code = "broker_unavailable"
    default_hint = "Check Redis: opinion doctor"


class JobStoreUnavailable(TransientError):
    """Redis as the keeper of jobs and results does not answer."""

    code = "job_store_unavailable"
    default_hint = "Check Redis: opinion doctor"


class RerankUnavailable(TransientError):
    """The second opinion cannot be had right now. This is never the same as "nothing relevant".

    Args:
        message: One sentence for people.
        retry_after: Seconds that whoever refuses asks us to wait; None when it does not say.
        hint: What to do next.
    """

    code = "rerank_unavailable"
    default_hint = "Check the rerank workers: opinion doctor"

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after

    def info(self) -> ErrorInfo:
        """Return this error as data, with the seconds to wait."""
        return super().info().model_copy(update={"retry_after": self.retry_after})

    @classmethod
    def rebuild(cls, info: ErrorInfo) -> Self:
        """Rebuild an error of this class."""
        return cls(info.message, retry_after=info.retry_after, hint=info.hint)


class RerankRateLimited(RerankUnavailable):
    """The calls a minute that the settings allow for a provider are used up, by all workers together."""

    code = "rerank_rate_limited"
    default_hint = "Ask again later, or raise the reranker's requests_per_minute."


class ProviderAnswerInvalid(RerankUnavailable):
    """A provider of rerank scores answered, but not with one usable score for each passage. Nothing is guessed."""

    code = "provider_answer_invalid"
    default_hint = "Check that the URL is that of a rerank endpoint, and that the declared scale is the provider's."


class WriteConflict(TransientError):
    """Somebody else changed the record first and went on changing it."""

    code = "write_conflict"


class ContentMissing(TransientError):
    """What was sent for a document cannot be found in the store."""

    code = "content_missing"
    default_hint = "Send the document again."


class Overloaded(TransientError):
    """The system is full.

    Args:
        message: One sentence for people.
        retry_after: Seconds to wait before the next try.
        hint: What to do next.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after

    def info(self) -> ErrorInfo:
        """Return this error as data, with the seconds to wait."""
        return super().info().model_copy(update={"retry_after": self.retry_after})

    @classmethod
    def rebuild(cls, info: ErrorInfo) -> Self:
        """Rebuild an error of this class."""
        return cls(info.message, retry_after=info.retry_after or 1.0, hint=info.hint)


class PermanentError(OpinionError):
    """The same call fails again until something about it changes."""

    code = "permanent_error"


class InvalidRequest(PermanentError):
    """What was sent cannot be accepted."""

    code = "invalid_request"
    default_hint = "Correct what is named and send it again."


class InvalidDocument(InvalidRequest):
    """The document cannot be ingested as it is."""

    code = "invalid_document"


class EmptyDocument(InvalidDocument):
    """The document has no text, or only white space."""

    code = "empty_document"
    default_hint = "Send a document with text, or delete the document if it is gone."


class DocumentTooLarge(InvalidDocument):
    """The document is above the size limit."""

    code = "document_too_large"
    default_hint = "Split the document into parts and send each under its own id."


class InvalidEncoding(InvalidDocument):
    """The bytes are no text in an encoding that is recognised."""

    code = "invalid_encoding"
    default_hint = "Save the file as UTF-8 and send it again."


class UnsupportedMediaType(InvalidDocument):
    """No extractor reads this kind of file."""

    code = "unsupported_media_type"
    default_hint = "Send plain text or Markdown."


class NoTextFound(InvalidDocument):
    """The file was read but holds no text."""

    code = "no_text_found"


class MetadataTypeConflict(InvalidRequest):
    """A metadata field has another type in this collection."""

    code = "metadata_type_conflict"
    default_hint = "Send values of the type that the field has in this collection, or use another field name."


class VersionConflict(InvalidRequest):
    """The same source version was sent before with different content."""

    code = "version_conflict"
    default_hint = "Raise source_version for each change of the document."


class InvalidQuery(InvalidRequest):
    """The query cannot be run as it is."""

    code = "invalid_query"


class EmptyQuery(InvalidQuery):
    """The query has no text."""

    code = "empty_query"
    default_hint = "Ask a question in words."


class QueryTooLong(InvalidQuery):
    """The query is above the length limit."""

    code = "query_too_long"
    default_hint = "Shorten the query; long background belongs into a document."


class UnknownReranker(InvalidQuery):
    """No rerank worker has said that it serves a reranker of this name."""

    code = "unknown_reranker"


class FilterTypeMismatch(InvalidQuery):
    """A filter compares a metadata field with values of another type."""

    code = "filter_type_mismatch"


class UnknownFilterField(InvalidRequest):
    """A filter names a metadata field that no document of the collection has."""

    code = "unknown_filter_field"


class InvalidDataset(InvalidRequest):
    """A data set's files are missing or do not fit together."""

    code = "invalid_dataset"
    default_hint = "Correct the line that is named, or leave the data set out."


class NotFound(PermanentError):
    """What was asked for does not exist."""

    code = "not_found"


class UnknownCollection(NotFound):
    """No collection has this name."""

    code = "unknown_collection"
    default_hint = "List the collections: opinion collections"


class UnknownDocument(NotFound):
    """No document has this id in this collection."""

    code = "unknown_document"
    default_hint = "List the documents: opinion document list"

    @classmethod
    def named(cls, document_id: str, collection: str) -> Self:
        """Return the error for a document that a collection does not have."""
        return cls(
            f"there is no document {document_id!r} in collection {collection!r}",
            hint=f"List the documents: opinion document list --collection {collection}",
        )


class UnknownJob(NotFound):
    """No job has this id, or its result has expired."""

    code = "unknown_job"
    default_hint = "Submit the query again; results are kept for a limited time."


class UnknownTrace(NotFound):
    """No trace has this id: the query is too old, was not answered, or traces are switched off."""

    code = "unknown_trace"
    default_hint = "Traces are kept for OPINION_TRACE_DAYS days; ask the query again."


class UnknownCandidate(NotFound):
    """The query had no such candidate."""

    code = "unknown_candidate"


class NotEnoughJudgements(PermanentError):
    """Too little is judged, or all of it alike, to say anything of a floor."""

    code = "not_enough_judgements"
    default_hint = "Judge more candidates, good and bad ones: opinion judge JOB CHUNK relevant (or irrelevant)"


class CalibrationRefused(PermanentError):
    """A calibration cannot be fitted on these scores, or is worse than the present one."""

    code = "calibration_refused"


class ExtraMissing(PermanentError):
    """What was asked for needs an optional part of the package that is not installed."""

    code = "extra_missing"
    default_hint = "Install it: pip install 'second-opinion[evaluation]'"

    @classmethod
    def of(cls, extra: str, package: str) -> Self:
        """Return the error for a package that an extra brings."""
        return cls(
            f"this needs {package}, which is not installed",
            hint=f'Install it: pip install "second-opinion[{extra}]"',
        )


class JobCancelled(PermanentError):
    """The caller cancelled the job."""

    code = "cancelled"


class DeadlineExceeded(PermanentError):
    """The work was not finished in the time allowed."""

    code = "deadline_exceeded"
    default_hint = "Allow more time, or add workers for the stage that is behind: opinion status"


class LeaseLost(PermanentError):
    """Another worker has taken this piece of work over; what this one did with it has no effect."""

    code = "lease_lost"
    default_hint = "Nothing to do: the other worker goes on with it."


class AttemptsExhausted(PermanentError):
    """The work was tried as often as allowed and failed each time."""

    code = "attempts_exhausted"


class IndexMismatch(PermanentError):
    """The collection's index was made by another model, chunker or analyzer than the settings name."""

    code = "index_mismatch"
    default_hint = "Use the settings that made the index, or ingest into a new collection."


class ModelUnusable(PermanentError):
    """A model file is missing, corrupt or of the wrong kind."""

    code = "model_unusable"


class CalibrationMismatch(ModelUnusable):
    """The calibration was fitted for another model, backend, precision or input length."""

    code = "calibration_mismatch"


class ProviderRefused(PermanentError):
    """A provider of rerank scores does not let us in, or refuses what was sent."""

    code = "provider_refused"
    default_hint = "Check the key, the model's name and the URL of the reranker."


class TextUnreadable(PermanentError):
    """A model fails on this one text; other texts are not affected."""

    code = "text_unreadable"
    default_hint = "Remove unusual characters from the text, or leave this document out."


class RelevanceMissing(PermanentError):
    """A relevance is missing or not finite, so no floor can be applied to it."""

    code = "relevance_missing"


class StackError(PermanentError):
    """The local stack cannot do what was asked."""

    code = "stack_error"


class JavaMissing(StackError):
    """No Java Development Kit was found that this Elasticsearch runs on."""

    code = "java_missing"
    default_hint = "Install one (apt-get install openjdk-17-jdk-headless), or set ES_JAVA_HOME to the folder of one."


class DistributionUnavailable(StackError):
    """A server's program cannot be fetched, unpacked or built."""

    code = "distribution_unavailable"


class StateUnusable(StackError):
    """The state folder cannot be written, reached by a server's account, or is out of space."""

    code = "state_unusable"
    default_hint = "Choose another folder: opinion up --state-dir FOLDER"


class PortInUse(StackError):
    """Another program listens on a port that the stack was told to use."""

    code = "port_in_use"
    default_hint = "Stop that program, or choose another port (0 picks a free one)."


class PartFailed(StackError):
    """A server or worker of the local stack ended, or was not ready in time."""

    code = "part_failed"


class InternalError(PermanentError):
    """A defect of ours."""

    code = "internal_error"
    default_hint = "Please report this with the lines around it in the log: opinion logs"


def _tree(root: type[OpinionError]) -> dict[str, type[OpinionError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


_BY_CODE: Final = {**_tree(TransientError), **_tree(PermanentError)}
