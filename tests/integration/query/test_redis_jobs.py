"""What only Redis can show: keys, times to live, and a server that goes away."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest
from redis import Redis

from second_opinion.pipeline.adapters.redis import job_watch, keys
from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.schemas.errors import InternalError, JobCancelled, JobStoreUnavailable, UnknownJob
from second_opinion.schemas.job import Job, JobState
from second_opinion.testing.builders import a_fused, a_handover, a_query, a_result

pytestmark = pytest.mark.stack


class WallClock:
    """The time of the day."""

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Server(Protocol):
    """What these tests do with a server of their own."""

    url: str

    def start(self) -> None:
        """Start it and wait until it answers."""

    def kill(self) -> None:
        """End it as a crash would."""


@pytest.fixture
def client(redis_url: str) -> Iterator["Redis[Any]"]:
    """A client of the shared server."""
    client = connect(redis_url, timeout=5.0)
    yield client
    client.close()


@pytest.fixture
def jobs(client: "Redis[Any]", namespace: str) -> Iterator[RedisJobs]:
    """Jobs of this test's own."""
    jobs = RedisJobs(client, clock=WallClock(), result_ttl=50.0, namespace=namespace)
    yield jobs
    jobs.close()


@pytest.fixture
def open_own(own_redis: Server) -> Iterator[Callable[[], RedisJobs]]:
    """Opens job stores on the server that may be ended."""
    opened: list[RedisJobs] = []

    def opening() -> RedisJobs:
        jobs = RedisJobs(connect(own_redis.url, timeout=2.0), clock=WallClock(), result_ttl=50.0)
        opened.append(jobs)
        return jobs

    yield opening
    for jobs in opened:
        jobs.close()


def submit(jobs: RedisJobs, job_id: str = "job-1", timeout: float = 60.0) -> Job:
    now = time.time()
    return jobs.create(a_query(job_id=job_id), submitted_at=now, expires_at=now + timeout)


def complete(jobs: RedisJobs, job_id: str = "job-1") -> bool:
    return jobs.finish(job_id, JobState.DONE, at=time.time(), result=a_result(job_id))


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_live_job_outlives_its_deadline_and_a_finished_one_its_time_to_live(
    jobs: RedisJobs, client: "Redis[Any]", namespace: str
) -> None:
    """The key of a job goes a day after the deadline, or `result_ttl` after the terminal state."""
    submit(jobs, timeout=60.0)
    assert 86_400 + 55 < client.ttl(f"{namespace}:job:job-1") <= 86_400 + 61
    jobs.begin("job-1", JobState.RETRIEVING, owner="w", seconds=15.0)
    assert client.ttl(f"{namespace}:job:job-1") > 86_400
    complete(jobs)
    assert 45 < client.ttl(f"{namespace}:job:job-1") <= 50


def test_a_finished_job_leaves_nothing_behind_but_itself(
    jobs: RedisJobs, client: "Redis[Any]", namespace: str, redis_url: str
) -> None:
    """Candidates and both indices of unfinished jobs are cleared by the same script that ends the job."""
    submit(jobs)
    binary = connect(redis_url, timeout=5.0, decode=False)
    candidates = RedisCandidates(binary, ttl=60.0, namespace=namespace)
    candidates.put("job-1", a_handover(a_fused(1)))
    assert 55 < client.ttl(f"{namespace}:candidates:job-1") <= 60
    assert jobs.finish("job-1", JobState.CANCELLED, at=time.time(), error=JobCancelled("cancelled").info())
    assert list(client.scan_iter(match=f"{namespace}:*")) == [f"{namespace}:job:job-1"]
    binary.close()


def test_every_key_that_is_used_is_documented(jobs: RedisJobs, client: "Redis[Any]", namespace: str) -> None:
    """The header of the module that names the keys has a line for each."""
    submit(jobs)
    submit(jobs, "job-2")
    jobs.begin("job-1", JobState.RETRIEVING, owner="w", seconds=15.0)
    client.delete(f"{namespace}:job:job-2")
    used = [
        key.replace(namespace, "opinion").replace("job-1", "ID") for key in client.scan_iter(match=f"{namespace}:*")
    ]
    assert len(used) == 5
    assert keys.__doc__ is not None
    for key in used:
        assert f"    {key} " in keys.__doc__


def test_an_index_entry_without_its_job_is_cleared(jobs: RedisJobs, client: "Redis[Any]", namespace: str) -> None:
    """A job whose key is gone does not stay in the list of what is to be expired."""
    submit(jobs, timeout=0.05)
    client.delete(f"{namespace}:job:job-1")
    time.sleep(0.1)
    assert jobs.expire(limit=10) == []
    assert client.zcard(f"{namespace}:jobs:deadline") == 0
    assert client.zcard(f"{namespace}:jobs:submitted") == 0


@pytest.mark.parametrize("damage", [{"query": "{"}, {"state": "asleep"}, {"submitted_at": "soon"}])
def test_a_damaged_job_is_a_typed_error(
    jobs: RedisJobs, client: "Redis[Any]", namespace: str, damage: dict[str, str]
) -> None:
    """What cannot be read is named, and never taken for another state."""
    submit(jobs)
    client.hset(f"{namespace}:job:job-1", mapping=damage)
    with pytest.raises(InternalError, match="job-1 cannot be read"):
        jobs.get("job-1")


def test_damaged_candidates_are_a_typed_error(redis_url: str, namespace: str) -> None:
    """Bytes that are no handover are not taken for an expired one."""
    binary = connect(redis_url, timeout=5.0, decode=False)
    binary.hset(f"{namespace}:candidates:job-1", "", b"junk")
    with pytest.raises(InternalError, match="cannot be read"):
        RedisCandidates(binary, ttl=60.0, namespace=namespace).get("job-1")
    binary.close()


def test_fields_of_a_newer_version_are_ignored(jobs: RedisJobs, client: "Redis[Any]", namespace: str) -> None:
    """During a rolling deploy an old reader reads what a new writer wrote."""
    submit(jobs)
    client.hset(f"{namespace}:job:job-1", mapping={"schema_version": "2", "mood": "hopeful"})
    assert jobs.get("job-1").state is JobState.QUEUED


def test_a_waiter_expires_its_job_at_the_deadline(jobs: RedisJobs) -> None:
    """Where no worker takes a job, the waiter itself sees it expire, and on time."""
    submit(jobs, timeout=0.3)
    started = time.monotonic()
    assert jobs.wait("job-1", 10.0).state is JobState.EXPIRED
    assert 0.25 < time.monotonic() - started < 1.5


def test_thousands_of_waiters_share_one_subscription(jobs: RedisJobs, client: "Redis[Any]", namespace: str) -> None:
    """Two thousand jobs are waited for on one loop with one subscriber, and each hears of its own end."""
    ids = [f"job-{number}" for number in range(2_000)]
    for job_id in ids:
        submit(jobs, job_id)

    async def all_of_them() -> list[Job]:
        waiting = [asyncio.create_task(jobs.wait_async(job_id, 60.0)) for job_id in ids]
        await asyncio.sleep(1.0)
        assert dict(client.pubsub_numsub(f"{namespace}:jobs:finished")) == {f"{namespace}:jobs:finished": 1}
        for job_id in ids:
            complete(jobs, job_id)
        return await asyncio.gather(*waiting)

    finished = asyncio.run(all_of_them())
    assert [(job.job_id, job.state) for job in finished] == [(job_id, JobState.DONE) for job_id in ids]


def test_a_thousand_followers_read_when_there_is_something_to_read(
    jobs: RedisJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share one subscription, each reads its job once a step and the subscription, and none of them later."""
    ids = [f"job-{number}" for number in range(1_000)]
    for job_id in ids:
        submit(jobs, job_id)
    reads: list[str] = []
    read = jobs._read
    monkeypatch.setattr(jobs, "_read", lambda job_id: reads.append(job_id) or read(job_id))

    async def seen(job_id: str) -> list[JobState]:
        return [job.state async for job in jobs.follow(job_id, 60.0)]

    async def all_of_them() -> tuple[list[list[JobState]], int]:
        following = [asyncio.create_task(seen(job_id)) for job_id in ids]
        await asyncio.sleep(5.0)
        before = len(reads)
        await asyncio.sleep(3.0)
        idle = len(reads) - before
        for job_id in ids:
            jobs.begin(job_id, JobState.RETRIEVING, owner=job_id, seconds=60.0)
        await asyncio.sleep(2.0)
        for job_id in ids:
            complete(jobs, job_id)
        return await asyncio.gather(*following), idle

    states, idle = asyncio.run(all_of_them())
    assert states == [[JobState.QUEUED, JobState.RETRIEVING, JobState.DONE]] * len(ids)
    assert idle == 0
    assert jobs._news._watchers == {}


def test_a_job_that_goes_round_and_round_does_not_grow(jobs: RedisJobs) -> None:
    """A job that waits for a reranker thousands of times keeps its first steps only."""
    submit(jobs)
    for _ in range(150):
        jobs.begin("job-1", JobState.RERANKING, owner="judge", seconds=60.0)
        jobs.release("job-1", owner="judge", next_step="reranking")
    assert 50 < len(jobs.get("job-1").progress) < 150


def test_a_forked_child_waits_with_a_subscription_of_its_own(jobs: RedisJobs) -> None:
    """The parent's listening thread does not exist in a child; waiting there works all the same."""
    submit(jobs, "warm")
    jobs.wait("warm", 0.1)
    submit(jobs)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if jobs.wait("job-1", 10.0).state is JobState.DONE else 1)
        finally:
            os._exit(2)
    time.sleep(0.5)
    complete(jobs)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_waiters_survive_a_server_that_comes_back(
    own_redis: Server, open_own: Callable[[], RedisJobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is finished while the connection is down, and what after it: both are heard of before the next reread."""
    monkeypatch.setattr(job_watch, "REREAD_SECONDS", 600.0)
    jobs, other = open_own(), open_own()
    submit(jobs, "before")
    submit(jobs, "after")
    time.sleep(1.1)  # The append-only file is written every second.
    with ThreadPoolExecutor(8) as pool:
        waiting = {name: [pool.submit(jobs.wait, name, 60.0) for _ in range(4)] for name in ("before", "after")}
        time.sleep(0.3)
        own_redis.kill()
        time.sleep(0.5)
        own_redis.start()
        assert complete(other, "before")
        assert {future.result(15.0).state for future in waiting["before"]} == {JobState.DONE}
        assert complete(other, "after")
        assert {future.result(5.0).state for future in waiting["after"]} == {JobState.DONE}


def test_an_asynchronous_waiter_survives_a_server_that_comes_back(
    own_redis: Server, open_own: Callable[[], RedisJobs]
) -> None:
    """The same on a loop."""
    jobs, other = open_own(), open_own()
    submit(jobs)
    time.sleep(1.1)

    def crash() -> None:
        own_redis.kill()
        time.sleep(0.5)
        own_redis.start()
        complete(other)

    crasher = threading.Timer(0.3, crash)
    crasher.start()
    assert asyncio.run(jobs.wait_async("job-1", 30.0)).state is JobState.DONE
    crasher.join()


def test_waiting_without_a_server_fails_at_once_or_when_the_time_is_over(
    own_redis: Server, open_own: Callable[[], RedisJobs]
) -> None:
    """Nobody is kept waiting for a server that was never there; one that went away gets the time that was given."""
    jobs = open_own()
    submit(jobs)
    crasher = threading.Timer(0.3, own_redis.kill)
    crasher.start()
    started = time.monotonic()
    with pytest.raises(JobStoreUnavailable):
        jobs.wait("job-1", 2.5)
    assert time.monotonic() - started >= 2.4
    started = time.monotonic()
    with pytest.raises(JobStoreUnavailable):
        jobs.wait("job-1", 60.0)
    assert time.monotonic() - started < 10.0


def test_a_server_that_forgot_everything_says_unknown(own_redis: Server, open_own: Callable[[], RedisJobs]) -> None:
    """A job that Redis lost is unknown to its waiter; it is not waited for till the end."""
    jobs = open_own()
    submit(jobs)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(jobs.wait, "job-1", 60.0)
        time.sleep(0.3)
        admin = connect(own_redis.url, timeout=2.0)
        admin.flushall()
        admin.client_kill_filter(_type="pubsub")
        with pytest.raises(UnknownJob):
            waiting.result(10.0)
        admin.close()


def test_a_full_server_refuses_jobs_and_loses_none(own_redis: Server, open_own: Callable[[], RedisJobs]) -> None:
    """Under `noeviction` a full Redis is an unavailable job store; what it holds can still be read, and ended later."""
    jobs = open_own()
    submit(jobs)
    admin = connect(own_redis.url, timeout=2.0)
    admin.config_set("maxmemory", "1")
    with pytest.raises(JobStoreUnavailable):
        submit(jobs, "job-2")
    with pytest.raises(JobStoreUnavailable):
        complete(jobs)
    assert jobs.get("job-1").state is JobState.QUEUED
    admin.config_set("maxmemory", "0")
    assert complete(jobs)
    admin.close()


def test_connections_are_bounded(own_redis: Server, open_own: Callable[[], RedisJobs]) -> None:
    """Three hundred threads that read at once queue for the pool's connections instead of opening one each."""
    jobs = open_own()
    submit(jobs)
    with ThreadPoolExecutor(300) as pool:
        states = list(pool.map(lambda _: jobs.get("job-1").state, range(3_000)))
    assert states == [JobState.QUEUED] * 3_000
    admin = connect(own_redis.url, timeout=2.0)
    wait_until(lambda: len(admin.client_list()) <= 34)
    admin.close()
