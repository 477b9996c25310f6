"""What is sent by task name: documents and deletions become records, queries become jobs."""

from collections import Counter

from second_opinion.schemas.base import parse_request
from second_opinion.schemas.errors import InvalidRequest, OpinionError
from second_opinion.schemas.messages import AcceptDocuments, SubmitQuery
from second_opinion.schemas.query import QueryRequest
from second_opinion.workers.parts import Callers
from second_opinion.workers.runner import Facts


def accept_documents(message: AcceptDocuments, parts: Callers) -> Facts:
    """Accept documents and deletions; what is rejected is recorded, since nobody hears the receipts.

    Raises:
        InvalidRequest: If there are neither: a misspelt field must not be lost without a word.
    """
    if not message.documents and not message.deletions:
        raise InvalidRequest(
            "the message has neither documents nor deletions",
            hint='Send {"documents": [...]}, {"deletions": [...]} or both.',
        )
    receipts = parts.documents.accept(message.documents, record_rejected=True)
    receipts += parts.documents.delete(message.deletions)
    return dict(Counter(receipt.outcome.value for receipt in receipts))


def submit_query(message: SubmitQuery, parts: Callers) -> Facts:
    """Submit a query; one that cannot be accepted becomes a failed job, if the caller named it."""
    try:
        request = parse_request(QueryRequest, message.query)
        return {"job": parts.queries.submit(request).job_id}
    except OpinionError as problem:
        parts.queries.reject(message.query, problem.info())
        raise
