"""Messages between callers and workers: ids only, in the imperative, each with its schema version."""

from typing import Any, Literal

from pydantic import Field

from second_opinion.schemas.base import Versioned
from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.usage import RerankerUsage


class AcceptDocuments(Versioned):
    """Accept documents and deletions sent by task name; each payload is validated when it is accepted.

    Attributes:
        documents: `DocumentInput` payloads.
        deletions: `DeletionInput` payloads.
    """

    documents: tuple[dict[str, Any], ...] = ()
    deletions: tuple[dict[str, Any], ...] = ()


class ExtractDocument(Versioned):
    """Turn the bytes of one operation into text."""

    document: DocumentRef


class IndexDocuments(Versioned):
    """Chunk, embed, write and commit these operations. Each is fenced on its own; the batch only saves round trips."""

    documents: tuple[DocumentRef, ...] = Field(min_length=1, max_length=256)


class RunQuery(Versioned):
    """Retrieve the candidates of one job."""

    job_id: str


class RerankCandidates(Versioned):
    """Score, judge and finish one job whose candidates wait in Redis.

    Attributes:
        waits: How often it has waited for a reranker.
        usage: What asking rerankers has cost it by then.
    """

    job_id: str
    waits: int = Field(default=0, ge=0)
    usage: tuple[RerankerUsage, ...] = ()


class SubmitQuery(Versioned):
    """Submit a query by task name, without the Python client; the payload is a `QueryRequest`."""

    kind: Literal["submit_query"] = "submit_query"
    query: dict[str, Any]
