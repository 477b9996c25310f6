"""Servers that do not answer, are full, or hold something else than expected."""

from typing import Self

from second_opinion.schemas.errors.base import ErrorInfo, PermanentError, TransientError


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


class IndexMismatch(PermanentError):
    """The collection's index was made by another model, chunker or analyzer than the settings name."""

    code = "index_mismatch"
    default_hint = "Use the settings that made the index, or ingest into a new collection."
