"""Servers that do not answer, are full, or hold something else than expected."""

from second_opinion.schemas.errors.base import PermanentError, TransientError


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


class GatewayUnavailable(TransientError):
    """The HTTP gateway cannot be reached, or does not answer."""

    code = "gateway_unavailable"
    default_hint = "Check that it runs, and its URL: curl URL/readyz"


class WriteConflict(TransientError):
    """Somebody else changed the record first and went on changing it."""

    code = "write_conflict"


class ContentMissing(TransientError):
    """What was sent for a document cannot be found in the store."""

    code = "content_missing"
    default_hint = "Send the document again."


class Overloaded(TransientError):
    """The system is full; there is always a time after which to send the same again."""

    code = "overloaded"
    default_retry_after = 1.0
    retry_after: float


class WebhookFailed(TransientError):
    """A webhook's address did not answer, answered with an error, or may not be called."""

    code = "webhook_failed"
    default_hint = "Check the address; it is tried again for a day."


class IndexMismatch(PermanentError):
    """The collection's index was made by another model, chunker or analyzer than the settings name."""

    code = "index_mismatch"
    default_hint = (
        "Use the settings that made the index, or name them in OPINION_FORMER_INDEXING and move the collection with "
        "`opinion reindex`."
    )


class ReindexRefused(PermanentError):
    """A step of a reindex that cannot be made as things stand."""

    code = "reindex_refused"
    default_hint = "See how it stands: opinion reindex COLLECTION --status"
