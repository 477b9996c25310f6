"""Messages between callers and workers: ids only, in the imperative, each with its schema version."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, field_validator

from second_opinion.schemas.base import Versioned
from second_opinion.schemas.collection import CollectionName
from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.usage import RerankerUsage

REQUEST_ID_LENGTH: Final = 64

MessageId = Annotated[str, StringConstraints(min_length=1, max_length=512)]
"""An id that a store can be asked for: there, and writable as UTF-8."""


class Message(Versioned):
    """A message to workers.

    Attributes:
        request_id: What the caller, or the gateway, called the request that this comes from: for log lines alone.
    """

    request_id: str | None = None

    @field_validator("request_id", mode="before")
    @classmethod
    def _do_no_harm(cls, given: object) -> str | None:
        """Take what can be logged: a strange id is no reason to lose the work."""
        return given[:REQUEST_ID_LENGTH] if isinstance(given, str) else None


class AcceptDocuments(Message):
    """Accept documents and deletions sent by task name; each payload is validated when it is accepted.

    Attributes:
        documents: `DocumentInput` payloads.
        deletions: `DeletionInput` payloads.
    """

    documents: tuple[dict[str, Any], ...] = ()
    deletions: tuple[dict[str, Any], ...] = ()


class ExtractDocument(Message):
    """Turn the bytes of one operation into text."""

    document: DocumentRef


class IndexDocuments(Message):
    """Chunk, embed, write and commit these operations. Each is fenced on its own; the batch only saves round trips."""

    documents: tuple[DocumentRef, ...] = Field(min_length=1, max_length=256)


class RemakeDocuments(Message):
    """Make the committed versions of documents in an index that their collection moves to."""

    collection: CollectionName
    index: MessageId
    keys: tuple[MessageId, ...] = Field(min_length=1, max_length=256)


class RunQuery(Message):
    """Retrieve the candidates of one job."""

    job_id: MessageId


class RerankCandidates(Message):
    """Score, judge and finish one job whose candidates wait in Redis.

    Attributes:
        waits: How often it has waited for a reranker.
        usage: What asking rerankers has cost it by then.
    """

    job_id: MessageId
    waits: int = Field(default=0, ge=0)
    usage: tuple[RerankerUsage, ...] = ()


class SubmitQuery(Message):
    """Submit a query by task name, without the Python client; the payload is a `QueryRequest`."""

    kind: Literal["submit_query"] = "submit_query"
    query: dict[str, Any]
