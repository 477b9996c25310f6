"""Submitting a query: choices are made, the job is recorded, then the message is sent."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from second_opinion.pipeline.filtering import check_filters
from second_opinion.pipeline.ports import (
    CalibrationStore,
    Clock,
    CollectionStore,
    Guard,
    JobStore,
    OperationIds,
    TaskQueue,
    no_guard,
)
from second_opinion.pipeline.webhook_book import WebhookBook
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import (
    BrokerUnavailable,
    ErrorInfo,
    JobStoreUnavailable,
    StoreUnavailable,
    UnknownJob,
    UnknownReranker,
)
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import MAX_QUERY_CHARACTERS, JobId, Query, QueryRequest

REJECTED_SECONDS: Final = 60.0
_JOB_ID: Final[TypeAdapter[str]] = TypeAdapter(JobId)


class QueryDesk:
    """Takes queries from callers.

    Args:
        defaults: What holds where neither the query nor its collection says otherwise.
        rerankers: Where rerank workers say what they serve; without it a name is not checked here.
        admit: Called before a query is taken in; raises `Overloaded` while there is no room.
        webhooks: Who is told when a query ends; without it nobody is.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        collections: CollectionStore,
        jobs: JobStore,
        queue: TaskQueue,
        ids: OperationIds,
        clock: Clock,
        defaults: QueryDefaults,
        rerankers: CalibrationStore | None = None,
        admit: Guard = no_guard,
        webhooks: WebhookBook | None = None,
    ) -> None:
        self._admit = admit
        self._collections = collections
        self._jobs = jobs
        self._queue = queue
        self._ids = ids
        self._clock = clock
        self._defaults = defaults
        self._rerankers = rerankers
        self._webhooks = webhooks

    def choices(self, collection: str | None) -> QueryDefaults:
        """Return how queries to a collection are answered that do not say; without one, what the settings say.

        Raises:
            UnknownCollection: If there is no such collection.
        """
        return (
            self._defaults if collection is None else self._collections.get(collection).overrides.over(self._defaults)
        )

    def submit(self, request: QueryRequest) -> Job:
        """Record the query as a job and send it to the retrieve workers; the same `job_id` asks once.

        Raises:
            UnknownCollection: If there is no such collection.
            IndexMismatch: If the collection's index was made with another model.
            UnknownReranker: If no rerank worker serves a reranker that the query or its collection names.
            UnknownFilterField: If a filter names a field that no document of the collection has.
            FilterTypeMismatch: If a filter compares a field with values of another type.
            JobStoreUnavailable: If the job could not be recorded; nothing was submitted.
            StoreUnavailable: If Elasticsearch does not answer; nothing was submitted.
            BrokerUnavailable: If the message could not be sent; the job is recorded as failed.
            Overloaded: If there is no room; nothing was submitted.
        """
        self._admit()
        now = self._clock.now()
        collection = self._collections.get(request.collection)
        if request.filters:
            types = self._collections.field_types(request.collection)
            check_filters(request.filters, types, collection=request.collection)
        query = Query(
            job_id=request.job_id or self._ids.new(),
            text=request.text,
            collection=request.collection,
            filters=request.filters,
            choices=request.over(collection.overrides.over(self._defaults)),
            answer_by=None if request.deadline_ms is None else now + request.deadline_ms / 1_000,
        )
        expires_at = min(now + request.timeout_s, query.answer_by or math.inf)
        self._require_served(query.choices.reranker)
        self._record_hearing(query, named=request.job_id is not None)
        job = self._jobs.create(query, submitted_at=now, expires_at=expires_at)
        if job.state is JobState.QUEUED:
            self._send(job)
        return job

    def _require_served(self, names: str | None) -> None:
        if names is None or self._rerankers is None:
            return
        served = sorted({record.name for record in self._rerankers.rerankers()} - {""})
        strangers = [name for name in names.split(",") if name not in served]
        if strangers:
            raise UnknownReranker(
                f"no rerank worker serves {', '.join(strangers)}",
                hint=f"Name one of: {', '.join(served)}." if served else "Start one: opinion worker --role rerank",
            )

    def _record_hearing(self, query: Query, *, named: bool) -> None:
        """Record who is told when the query ends: before there is a job, so that no end is missed.

        One that was asked before under its name is not told of again.
        """
        hearing = self._webhooks.of(query.collection) if self._webhooks else []
        if self._webhooks and hearing and not (named and self._is_known(query.job_id)):
            self._webhooks.record(hearing, query.job_id)

    def _is_known(self, job_id: str) -> bool:
        try:
            self._jobs.get(job_id)
        except UnknownJob:
            return False
        return True

    def reject(self, payload: Mapping[str, Any], error: ErrorInfo) -> None:
        """Record a query that could not be accepted as a failed job, if its sender gave it an id to ask for."""
        try:
            job_id = _JOB_ID.validate_python(payload.get("job_id"))
        except ValidationError:
            return
        text, collection = (str(payload.get(name, ""))[:MAX_QUERY_CHARACTERS] for name in ("text", "collection"))
        query, now = Query(job_id=job_id, text=text, collection=collection), self._clock.now()
        with suppress(StoreUnavailable):  # which may be why it is rejected
            self._record_hearing(query, named=True)
        job = self._jobs.create(query, submitted_at=now, expires_at=now + REJECTED_SECONDS)
        if job.state is JobState.QUEUED:
            self._jobs.finish(job_id, JobState.FAILED, at=now, error=error)

    def _send(self, job: Job) -> None:
        try:
            self._queue.retrieve(job.job_id)
        except BrokerUnavailable as problem:
            # A job that cannot be recorded as failed expires, or went with its Redis; the caller hears of the broker.
            with suppress(JobStoreUnavailable, UnknownJob):
                self._jobs.finish(job.job_id, JobState.FAILED, at=self._clock.now(), error=problem.info())
            raise
