"""Waiting for jobs: told by Redis when one moves, and looking again now and then in case the news was lost."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Final

from second_opinion.pipeline.adapters.redis.waiter import JobNews
from second_opinion.pipeline.ports import Clock
from second_opinion.pipeline.time_budget import within
from second_opinion.schemas.errors import JobStoreUnavailable
from second_opinion.schemas.job import Job

REREAD_SECONDS: Final = 15.0
RETRY_READ_SECONDS: Final = 2.0
LAST_LOOK_SECONDS: Final = 0.75
"""What the last look of a waiter may take beyond its time."""

Read = Callable[[str], Job]


class JobWatch:
    """Waits for jobs.

    Args:
        read: Reads a job.
        news: Tells when one moves.
        clock: Tells how far a job is from its deadline.
    """

    def __init__(self, read: Read, news: JobNews, clock: Clock) -> None:
        self._read = read
        self._news = news
        self._clock = clock

    def wait(self, job_id: str, timeout: float) -> Job:
        """Return the job when it is terminal, or as it is when `timeout` seconds are over.

        Raises:
            UnknownJob: If there is none.
            JobStoreUnavailable: If Redis cannot be read at the beginning, or still not when the time is over.
        """
        woken = threading.Event()
        look = _Look(self._read, self._clock, job_id, timeout)
        with self._news.watch(job_id, woken.set):
            while True:
                woken.clear()
                look()
                if look.job is not None and look.is_over:
                    return look.job
                woken.wait(look.pause)

    async def wait_async(self, job_id: str, timeout: float) -> Job:  # noqa: ASYNC109 - the port's form
        """Wait as `wait` does, without a thread for each waiter."""
        async for job in self._looks(job_id, timeout, moves=False):
            last = job
        return last

    async def follow(self, job_id: str, timeout: float) -> AsyncGenerator[Job]:  # noqa: ASYNC109 - the port's form
        """Yield a job as it is, again whenever it has come to another stage, and last when the waiting is over."""
        steps = -1
        async with aclosing(self._looks(job_id, timeout, moves=True)) as looks:
            async for job in looks:
                if job.is_terminal or len(job.progress) != steps:
                    steps = len(job.progress)
                    yield job

    async def _looks(self, job_id: str, timeout: float, *, moves: bool) -> AsyncGenerator[Job]:  # noqa: ASYNC109
        """Yield a job each time that it was looked at; the last time it is terminal, or the time is over."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # The loop may have been closed under a forgotten waiter.
                loop.call_soon_threadsafe(woken.set)

        look = _Look(self._read, self._clock, job_id, timeout)
        with self._news.watch(job_id, wake, moves=moves):
            while not look.is_over:
                woken.clear()
                await asyncio.to_thread(look)
                if look.job is not None:
                    yield look.job
                if not look.is_over:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(woken.wait(), look.pause)


class _Look:
    """One waiter's way of looking: when to look again, and when to stop."""

    def __init__(self, read: Read, clock: Clock, job_id: str, timeout: float) -> None:
        self._read = read
        self._clock = clock
        self._job_id = job_id
        self._until = time.monotonic() + max(0.0, timeout)
        self.job: Job | None = None
        self.is_over = False
        self.pause = 0.0

    def __call__(self) -> None:
        """Read the job. Unless the waiting is over, it is to be read again after `pause` seconds, or when woken."""
        left = self._until - time.monotonic()
        try:
            with within(max(0.0, left) + LAST_LOOK_SECONDS):
                job = self._read(self._job_id)
        except JobStoreUnavailable:
            if self.job is None or left <= 0.0:
                raise
            self.pause = min(left, RETRY_READ_SECONDS)
            return
        self.job = job
        self.is_over = job.is_terminal or left <= 0.0
        self.pause = min(left, REREAD_SECONDS, max(0.0, job.expires_at - self._clock.now()) + 0.01)
