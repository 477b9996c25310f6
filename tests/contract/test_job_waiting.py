"""What every job store does for who waits for a job or follows it: the double and Redis."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from second_opinion.schemas.errors import UnknownJob
from second_opinion.schemas.job import Job, JobState
from second_opinion.testing.builders import a_result
from tests.contract.kept_jobs import START, Kept


def test_waiting_ends_when_the_time_is_over(kept: Kept) -> None:
    """An unfinished job comes back as it is, not as an error."""
    kept.submit()
    started = time.monotonic()
    assert kept.jobs.wait("job-1", 0.2).state is JobState.QUEUED
    assert 0.2 <= time.monotonic() - started < 1.0
    assert kept.jobs.wait("job-1", 0.0).state is JobState.QUEUED
    assert asyncio.run(kept.jobs.wait_async("job-1", 0.1)).state is JobState.QUEUED


def test_waiting_for_a_finished_job_returns_at_once(kept: Kept) -> None:
    """Nobody waits for what has happened already."""
    kept.submit()
    kept.complete()
    assert kept.jobs.wait("job-1", 5.0).result == a_result()


def test_all_waiters_hear_of_the_end(kept: Kept) -> None:
    """Waiters in threads and on a loop wake when the job is finished, long before their time is over."""
    kept.submit()
    kept.submit("other")

    async def many() -> list[Job]:
        return await asyncio.gather(*(kept.jobs.wait_async("job-1", 20.0) for _ in range(200)))

    threading.Timer(0.3, kept.complete).start()
    started = time.monotonic()
    with ThreadPoolExecutor(21) as pool:
        in_threads = [pool.submit(kept.jobs.wait, "job-1", 20.0) for _ in range(20)]
        on_a_loop = pool.submit(asyncio.run, many())
        waited = [future.result() for future in in_threads] + on_a_loop.result()
    assert {job.state for job in waited} == {JobState.DONE}
    assert time.monotonic() - started < 5.0
    assert kept.jobs.get("other").state is JobState.QUEUED


async def steps_of(kept: Kept, seconds: float = 20.0) -> list[Job]:
    """Follow a job to the end."""
    return [job async for job in kept.jobs.follow("job-1", seconds)]


def test_the_way_of_a_job_is_kept(kept: Kept) -> None:
    """Each stage and the hand-over are there with their moments, and how many candidates there were."""
    kept.submit()
    kept.clock.advance(1.0)
    kept.begin("retriever")
    kept.clock.advance(1.0)
    kept.jobs.release("job-1", owner="retriever", next_step="reranking", hands_over=True, candidates=87)
    kept.clock.advance(1.0)
    kept.begin("judge", JobState.RERANKING)
    kept.begin("judge", JobState.RERANKING)
    kept.jobs.release("job-1", owner="judge", next_step="reranking", due=START + 20.0)
    kept.complete()
    assert [(step.state, step.at - START, step.candidates) for step in kept.jobs.get("job-1").progress] == [
        (JobState.RETRIEVING, 1.0, None),
        (JobState.RETRIEVING, 2.0, 87),
        (JobState.RERANKING, 3.0, None),
        (JobState.QUEUED, 3.0, None),
    ]


async def test_who_follows_a_job_hears_of_every_step(kept: Kept) -> None:
    """Steps that are far enough apart come one by one; the last thing that comes is the end."""
    kept.submit()
    following = asyncio.create_task(steps_of(kept))
    await asyncio.sleep(0.5)
    kept.begin("retriever")
    await asyncio.sleep(0.5)
    kept.jobs.release("job-1", owner="retriever", next_step="reranking", hands_over=True, candidates=3)
    await asyncio.sleep(0.5)
    kept.begin("judge", JobState.RERANKING)
    await asyncio.sleep(0.5)
    kept.complete()
    seen = await following
    assert [(job.state, len(job.progress)) for job in seen] == [
        (JobState.QUEUED, 0),
        (JobState.RETRIEVING, 1),
        (JobState.RETRIEVING, 2),
        (JobState.RERANKING, 3),
        (JobState.DONE, 3),
    ]


async def test_following_ends_with_its_time(kept: Kept) -> None:
    """Who gives up leaves the job as it is; who comes after the end hears of the end and nothing else."""
    kept.submit()
    started = time.monotonic()
    assert [job.state for job in await steps_of(kept, 0.3)] == [JobState.QUEUED]
    assert time.monotonic() - started < 3.0
    kept.complete()
    assert [job.state for job in await steps_of(kept)] == [JobState.DONE]
    with pytest.raises(UnknownJob):
        [job async for job in kept.jobs.follow("nobody", 1.0)]
