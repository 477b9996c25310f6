"""What was asked for and does not exist."""

from typing import Self

from second_opinion.schemas.errors.base import PermanentError


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


class UnknownWebhook(NotFound):
    """No webhook has this id."""

    code = "unknown_webhook"
    default_hint = "List the webhooks: GET /v1/webhooks"


class UnknownDelivery(NotFound):
    """A webhook is not to be told this: it has heard it, it was dropped, or it never was."""

    code = "unknown_delivery"
    default_hint = "List what it is still to be told: GET /v1/webhooks/ID/deliveries"


class UnknownCandidate(NotFound):
    """The query had no such candidate."""

    code = "unknown_candidate"
