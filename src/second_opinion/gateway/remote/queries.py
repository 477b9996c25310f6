"""Queries through a gateway: submitted once, whatever the connection does, and waited for by requests kept open."""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from second_opinion.gateway.calls import SharedQueryCalls
from second_opinion.gateway.remote.connection import AsyncConnection, Connection
from second_opinion.gateway.remote.requests import GatewayRequest, parsed, path_of
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.explanation import Explanation
from second_opinion.schemas.job import Job
from second_opinion.schemas.query import Filter, QueryRequest

LONGEST_WAIT: Final = 30
"""Seconds that one request is kept open: below the patience of common proxies."""
LOOK_SECONDS: Final = 0.1


class RemoteQueryCalls(SharedQueryCalls):
    """What a client does with queries, asked of a gateway."""

    _connection: Connection

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
            job_id: Your own name for the question, so that submitting twice asks once. The job gets another id, which
                is in what is returned: other callers of the gateway may have the same name for theirs.
            choices: As `Client.submit_query` takes them.

        Raises:
            InvalidQuery: If the query cannot be run as it is.
            UnknownCollection: If there is no such collection.
        """
        payload = {"text": text, "collection": collection, "filters": filters, "timeout_s": timeout, "job_id": job_id}
        asked = parse_request(QueryRequest, {**payload, **choices})
        body = asked.model_dump(mode="json", exclude_none=True, exclude={"job_id"})
        once = {"Idempotency-Key": job_id or uuid.uuid4().hex}
        return parsed(self._connection.ask(GatewayRequest("POST", "/v1/queries", body=body, headers=once)), Job)

    def result(self, job_id: str) -> Job:
        """Return a job as it is now; its `result` is there once its state is `done`.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """
        return parsed(self._connection.ask(_job(job_id, time.monotonic())), Job)

    def wait(self, job_id: str, *, timeout: float = 60.0) -> Job:
        """Wait for a job to end; return it as it is when `timeout` seconds are over, ended or not.

        A gateway that is away meanwhile is waited for.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
            GatewayUnavailable: If the gateway is still away when the time is over.
        """
        until = time.monotonic() + timeout
        while True:
            request = _job(job_id, until)
            job = parsed(self._connection.ask(request, until=until), Job)
            pause = _pause(job, request, until)
            if pause is None:
                return job
            time.sleep(pause)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, and return it as it then is: one that had ended stays as it was.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
        """
        return parsed(self._connection.ask(GatewayRequest("POST", path_of("v1", "queries", job_id, "cancel"))), Job)

    def why(self, job_id: str, document_id: str) -> Explanation:
        """Say what became of a document in the answer to a query: which stage it did not pass, with the numbers.

        Raises:
            UnknownJob: If there is no such job, or its result has expired.
            InvalidRequest: If the job has no result.
        """
        path = path_of("v1", "queries", job_id, "why")
        return parsed(self._connection.ask(GatewayRequest("GET", path, query={"document": document_id})), Explanation)


async def wait_async(connection: AsyncConnection, job_id: str, timeout: float) -> Job:  # noqa: ASYNC109 - the job's
    """Wait for a job to end, without a thread; return it as it is when `timeout` seconds are over, ended or not.

    Raises:
        UnknownJob: If there is none of this id, or its result has expired.
    """
    until = time.monotonic() + timeout
    while True:
        request = _job(job_id, until)
        job = parsed(await connection.ask(request, until=until), Job)
        pause = _pause(job, request, until)
        if pause is None:
            return job
        await asyncio.sleep(pause)


def _job(job_id: str, until: float) -> GatewayRequest:
    """Return the request for a job, kept open until it ends or that moment; only whole seconds can be asked for."""
    wait = min(LONGEST_WAIT, int(max(0.0, until - time.monotonic())))
    return GatewayRequest("GET", path_of("v1", "queries", job_id), wait=wait)


def _pause(job: Job, request: GatewayRequest, until: float) -> float | None:
    """Return the seconds after which to ask again; None when there is no need to."""
    left = until - time.monotonic()
    if job.is_terminal or left <= 0.0:
        return None
    return 0.0 if request.wait else min(LOOK_SECONDS, left)
