"""Submitting a query: choices are made, the job is recorded, then the message is sent."""

from second_opinion.pipeline.ports import Clock, CollectionStore, JobStore, OperationIds, TaskQueue
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import BrokerUnavailable, JobStoreUnavailable
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import Query, QueryRequest


class QueryDesk:
    """Takes queries from callers.

    Args:
        defaults: What holds where neither the query nor its collection says otherwise.
    """

    def __init__(
        self,
        *,
        collections: CollectionStore,
        jobs: JobStore,
        queue: TaskQueue,
        ids: OperationIds,
        clock: Clock,
        defaults: QueryDefaults,
    ) -> None:
        self._collections = collections
        self._jobs = jobs
        self._queue = queue
        self._ids = ids
        self._clock = clock
        self._defaults = defaults

    def submit(self, request: QueryRequest) -> Job:
        """Record the query as a job and send it to the retrieve workers; the same `job_id` asks once.

        Raises:
            UnknownCollection: If there is no such collection.
            IndexMismatch: If the collection's index was made with another model.
            JobStoreUnavailable: If the job could not be recorded; nothing was submitted.
            BrokerUnavailable: If the message could not be sent; the job is recorded as failed.
        """
        collection = self._collections.get(request.collection)
        query = Query(
            job_id=request.job_id or self._ids.new(),
            text=request.text,
            collection=request.collection,
            filters=request.filters,
            choices=request.over(collection.overrides.over(self._defaults)),
        )
        now = self._clock.now()
        job = self._jobs.create(query, submitted_at=now, expires_at=now + request.timeout_s)
        if job.state is JobState.QUEUED:
            self._send(job)
        return job

    def _send(self, job: Job) -> None:
        try:
            self._queue.retrieve(job.job_id)
        except BrokerUnavailable as problem:
            try:
                self._jobs.finish(job.job_id, JobState.FAILED, at=self._clock.now(), error=problem.info())
            except JobStoreUnavailable:
                pass  # The job expires by itself; the caller hears of the broker either way.
            raise
