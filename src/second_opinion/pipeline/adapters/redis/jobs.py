"""Query jobs in Redis. Which keys there are, `keys.py` says; what changes more than one at once is a Lua script."""

import math
from collections.abc import AsyncGenerator, Iterable
from importlib.resources import files
from typing import Any, Final, cast

from redis import Redis
from redis.commands.core import Script

from second_opinion.pipeline.adapters.redis.connection import redis_errors
from second_opinion.pipeline.adapters.redis.job_fields import job_of, terminal_field, unknown_job
from second_opinion.pipeline.adapters.redis.job_watch import JobWatch
from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.pipeline.adapters.redis.waiter import JobNews
from second_opinion.pipeline.ports import Clock, JobStore
from second_opinion.schemas.base import SCHEMA_VERSION
from second_opinion.schemas.errors import ErrorInfo, InternalError, UnknownJob
from second_opinion.schemas.job import STAGES, Job, JobState, Step
from second_opinion.schemas.query import Query
from second_opinion.schemas.verdict import QueryResult

LIVE_MARGIN_SECONDS: Final = 86_400.0
"""How long an unfinished job outlives its deadline, so that whoever looks late still hears `expired`."""

SCRIPTS: Final = ("create", "begin", "renew", "release", "requeue", "finish")
PROGRESS_CHARACTERS: Final = 4_000


class RedisJobs(JobStore):
    """Keeps jobs in Redis.

    Args:
        client: Must decode its replies.
        clock: Tells which jobs are past their deadline.
        result_ttl: Seconds a finished job can be read.
        namespace: First part of every key.
    """

    def __init__(self, client: Redis, *, clock: Clock, result_ttl: float, namespace: str = "opinion") -> None:
        self._client = client
        self._clock = clock
        self._ttl = result_ttl
        self._keys = Keys(namespace)
        self._news = JobNews(client, finished=self._keys.finished, moved=self._keys.moved)
        self._watch = JobWatch(self.get, self._news, clock)
        self._scripts = {name: _script(client, f"{name}.lua") for name in SCRIPTS}

    def create(self, query: Query, *, submitted_at: float, expires_at: float) -> Job:
        """Record a queued job; return the one already there when the id is taken."""
        fields = {
            "schema_version": str(SCHEMA_VERSION),
            "state": JobState.QUEUED.value,
            "query": query.model_dump_json(),
            "submitted_at": repr(submitted_at),
            "expires_at": repr(expires_at),
        }
        # Relative, so that a caller's clock that is wrong does not remove the job at once.
        live = math.ceil((max(0.0, expires_at - self._clock.now()) + LIVE_MARGIN_SECONDS) * 1_000)
        keys = [self._keys.job(query.job_id), self._keys.submitted, self._keys.deadline, self._keys.waiting]
        arguments = [query.job_id, repr(submitted_at), repr(expires_at), str(live), *_flat(fields.items())]
        return self._after("create", query.job_id, keys, arguments)

    def get(self, job_id: str) -> Job:
        """Return a job; one past its deadline becomes `expired` by this very look.

        Raises:
            UnknownJob: If there is none, or its result has expired.
        """
        return self._in_time(self._read(job_id))

    def begin(self, job_id: str, state: JobState, *, owner: str, seconds: float, alone: bool = False) -> Job:
        """Take the lease of a job for so long and move it to a stage; return it as it now is.

        It is ours to work on when its `owner` is; otherwise it is finished, or another works on it.

        Raises:
            UnknownJob: If there is none.
            InternalError: If `state` is terminal; `finish` writes those.
        """
        if state not in STAGES:
            raise InternalError(f"work on a job cannot begin as {state}")
        now = self._clock.now()
        lease = [owner, repr(now), repr(now + seconds), "1" if alone else "0"]
        arguments = [job_id, state.value, *lease, self._keys.moved, str(PROGRESS_CHARACTERS)]
        keys = [self._keys.job(job_id), self._keys.waiting, self._keys.leased]
        return self._after("begin", job_id, keys, arguments)

    def renew(self, job_id: str, *, owner: str, seconds: float) -> Job:
        """Hold the lease for so long from now, if it is still ours; return the job as it now is.

        Raises:
            UnknownJob: If there is none.
        """
        until = self._clock.now() + seconds
        return self._after("renew", job_id, [self._keys.job(job_id), self._keys.leased], [job_id, owner, repr(until)])

    def release(  # noqa: PLR0913 - all but one by name
        self,
        job_id: str,
        *,
        owner: str,
        next_step: Step,
        due: float | None = None,
        hands_over: bool = False,
        candidates: int | None = None,
    ) -> bool:
        """Give the lease back, so that the job waits for its next step; False when it was no longer ours."""
        now = self._clock.now()
        flags = ["0" if hands_over else "1", "1" if hands_over else "0"]
        told = [repr(now), "" if candidates is None else str(candidates), self._keys.moved, str(PROGRESS_CHARACTERS)]
        answer = self._run(
            "release",
            [self._keys.job(job_id), self._keys.waiting, self._keys.leased],
            [job_id, owner, next_step, repr(now if due is None else due), *flags, *told],
        )
        return answer == 1

    def requeue(self, job_id: str, *, waiting_before: float) -> Job | None:
        """Mark an abandoned job as waiting from now on, and return it; None when somebody cares for it."""
        arguments = [job_id, repr(self._clock.now()), repr(waiting_before)]
        keys = [self._keys.job(job_id), self._keys.waiting, self._keys.leased]
        return self.get(job_id) if self._run("requeue", keys, arguments) == 1 else None

    def finish(  # noqa: PLR0913 - all but two by name
        self,
        job_id: str,
        state: JobState,
        *,
        at: float,
        result: QueryResult | None = None,
        error: ErrorInfo | None = None,
        owner: str | None = None,
    ) -> bool:
        """Write the terminal state, start its time to live and wake the waiters; False when it was finished already.

        With an `owner` also False when that one no longer holds the job's lease.

        Raises:
            UnknownJob: If there is none.
            InternalError: If `state` is not terminal, or comes without what it has to bring.
        """
        outcome, text = terminal_field(state, result, error)
        keys = self._keys
        answer = self._run(
            "finish",
            [keys.job(job_id), keys.candidates(job_id), keys.submitted, keys.deadline, keys.waiting, keys.leased],
            [
                job_id,
                state.value,
                repr(at),
                str(math.ceil(self._ttl * 1_000)),
                keys.finished,
                outcome,
                text,
                owner or "",
            ],
        )
        if answer == -1:
            raise unknown_job(job_id)
        return bool(answer)

    def lapsed(self, *, limit: int) -> list[str]:
        """Return ids of unfinished jobs whose lease has run out, longest ago first."""
        return self._ids(self._keys.leased, repr(self._clock.now()), limit)

    def waiting(self, *, due_before: float, limit: int) -> list[str]:
        """Return ids of unfinished jobs that nobody works on and whose message was due before a moment."""
        return self._ids(self._keys.waiting, f"({due_before!r}", limit)

    def count_waiting(self) -> int:
        """Return how many unfinished jobs nobody works on, of those whose message is due."""
        with redis_errors():
            return self._client.zcount(self._keys.waiting, "-inf", repr(self._clock.now()))

    def unfinished(self, *, submitted_before: float, limit: int) -> list[str]:
        """Return ids of jobs that have no terminal state, oldest first."""
        return self._ids(self._keys.submitted, f"({submitted_before!r}", limit)

    def expire(self, *, limit: int) -> list[str]:
        """Make `expired` what is past its `expires_at`, at most `limit` jobs; return their ids."""
        expired = []
        for job_id in self._ids(self._keys.deadline, repr(self._clock.now()), limit):
            try:
                job = self.get(job_id)
            except UnknownJob:
                job = None
            if job is None or job.is_terminal:
                self._forget(job_id)
            if job is not None and job.state is JobState.EXPIRED:
                expired.append(job_id)
        return expired

    def wait(self, job_id: str, timeout: float) -> Job:
        """Return the job when it is terminal, or as it is when `timeout` seconds are over.

        Raises:
            UnknownJob: If there is none.
            JobStoreUnavailable: If Redis cannot be read at the beginning, or still not when the time is over.
        """
        return self._watch.wait(job_id, timeout)

    async def wait_async(self, job_id: str, timeout: float) -> Job:  # noqa: ASYNC109 - the port's form
        """Wait as `wait` does, without a thread for each waiter."""
        return await self._watch.wait_async(job_id, timeout)

    def follow(self, job_id: str, timeout: float) -> AsyncGenerator[Job]:
        """Yield a job as it is, again whenever it has come to another stage, and last when the waiting is over."""
        return self._watch.follow(job_id, timeout)

    def close(self) -> None:
        """End the subscription and the connections."""
        self._news.close()
        self._client.close()

    def _read(self, job_id: str) -> Job:
        with redis_errors():
            stored = cast("dict[str, Any]", self._client.hgetall(self._keys.job(job_id)))
        return job_of(job_id, stored)

    def _after(self, script: str, job_id: str, keys: list[str], arguments: list[str]) -> Job:
        """Run a script that answers with a job's hash, and return the job."""
        with redis_errors():
            flat = cast("list[str]", self._scripts[script](keys=keys, args=arguments))
        return self._in_time(job_of(job_id, dict(zip(flat[::2], flat[1::2], strict=True))))

    def _in_time(self, job: Job) -> Job:
        """Return a job as it is seen: one past its deadline becomes `expired`."""
        if job.is_terminal or self._clock.now() < job.expires_at:
            return job
        self.finish(job.job_id, JobState.EXPIRED, at=self._clock.now(), error=job.deadline_exceeded().info())
        return self._read(job.job_id)

    def _ids(self, key: str, until: str, limit: int) -> list[str]:
        with redis_errors():
            return cast("list[str]", self._client.zrangebyscore(key, "-inf", until, start=0, num=limit))

    def _forget(self, job_id: str) -> None:
        with redis_errors():
            for key in (self._keys.submitted, self._keys.deadline, self._keys.waiting, self._keys.leased):
                self._client.zrem(key, job_id)

    def _run(self, script: str, keys: list[str], arguments: list[str]) -> int:
        with redis_errors():
            return cast("int", self._scripts[script](keys=keys, args=arguments))


def _script(client: Redis, name: str) -> Script:
    return client.register_script((files(__package__) / name).read_text(encoding="utf-8"))


def _flat(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [part for pair in pairs for part in pair]
