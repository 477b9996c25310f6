"""Queries, submitted from the caller's own process, and what became of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from second_opinion.gateway.calls import SharedQueryCalls
from second_opinion.gateway.direct.bounded import bounded
from second_opinion.gateway.parts import Parts
from second_opinion.pipeline.why import WhyParts, explain_document
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.errors import JobCancelled
from second_opinion.schemas.explanation import Explanation
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import Filter, QueryRequest


class QueryCalls(SharedQueryCalls):
    """What a client does with queries."""

    parts: Parts
    call_seconds: float

    @bounded
    def submit_query(
        self,
        text: str,
        *,
        collection: str = DEFAULT_COLLECTION,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        timeout: float = 60.0,
        job_id: str | None = None,
        **choices: Any,
    ) -> Job:
        """Submit a query and return its job at once.

        Args:
            text: The question.
            collection: Where to look.
            filters: All of them have to hold.
            timeout: Seconds after which the job expires if it has no answer.
            job_id: Your own id, so that submitting twice asks once.
            choices: Any of floor, top_k, candidates, chunks_per_document, bm25_weight, knn_weight, reranker,
                on_unavailable; and `deadline_ms`, milliseconds in which the answer is wanted, from what could be read.

        Raises:
            InvalidQuery: If the query cannot be run as it is.
            UnknownCollection: If there is no such collection.
        """
        payload = {"text": text, "collection": collection, "filters": filters, "timeout_s": timeout, "job_id": job_id}
        return self.parts.queries.submit(parse_request(QueryRequest, {**payload, **choices}))

    @bounded
    def result(self, job_id: str) -> Job:
        """Return a job as it is now; its `result` is there once its state is `done`.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """
        return self.parts.jobs.get(job_id)

    def wait(self, job_id: str, *, timeout: float = 60.0) -> Job:
        """Wait for a job to end; return it as it is when `timeout` seconds are over, ended or not.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """
        return self.parts.jobs.wait(job_id, timeout)

    @bounded
    def cancel(self, job_id: str) -> Job:
        """Cancel a job, and return it as it then is: one that had ended stays as it was.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """
        error = JobCancelled(f"job {job_id} was cancelled").info()
        self.parts.jobs.finish(job_id, JobState.CANCELLED, at=self.parts.stores.clock.now(), error=error)
        return self.result(job_id)

    @bounded
    def why(self, job_id: str, document_id: str) -> Explanation:
        """Say what became of a document in the answer to a query: which stage it did not pass, with the numbers.

        Raises:
            UnknownJob: If there is no such job, or its result has expired.
            InvalidRequest: If the job has no result.
        """
        stores = self.parts.stores
        return explain_document(
            self.result(job_id), document_id, WhyParts(stores.collections, stores.documents, stores.chunks)
        )
