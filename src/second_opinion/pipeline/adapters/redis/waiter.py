"""Hearing of jobs that have ended or moved: one subscription for all waiters of a process.

Published messages are lost while nobody is subscribed. So a waiter registers first and reads the job then; every
confirmed (re)subscription wakes all waiters to read again; and each of them reads again now and then in any case.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import DRIVER_ERRORS

POLL_SECONDS: Final = 1.0
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0

Wake = Callable[[], None]
Topic = tuple[str, str]
"""Channel and job id."""

log = structlog.get_logger(__name__)


class JobNews:
    """Calls back when a job is finished or has moved, or may have. The thread starts with the first waiter.

    Args:
        client: Must decode its replies.
        finished: Channel with the id of each job that becomes terminal.
        moved: Channel with the id of each job that comes to another stage.
    """

    def __init__(self, client: Redis, *, finished: str, moved: str) -> None:
        self._client = client
        self._finished = finished
        self._moved = moved
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._watchers: dict[Topic, list[Wake]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextmanager
    def watch(self, job_id: str, wake: Wake, *, moves: bool = False) -> Iterator[None]:
        """Call `wake`, from the listening thread, whenever the job should be read (again).

        Args:
            job_id: The job.
            wake: Must return at once.
            moves: Also when it comes to another stage.
        """
        if self._pid != os.getpid():
            self._reset()  # A forked child has neither the thread nor its parent's waiters.
        topics = [(self._finished, job_id), *([(self._moved, job_id)] if moves else [])]
        with self._lock:
            for topic in topics:
                self._watchers.setdefault(topic, []).append(wake)
            self._start()
        try:
            yield
        finally:
            with self._lock:
                for topic in topics:
                    self._forget(topic, wake)

    def close(self) -> None:
        """End the listening thread."""
        self._closed.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(timeout=2 * POLL_SECONDS)

    def _forget(self, topic: Topic, wake: Wake) -> None:
        left = self._watchers[topic]
        left.remove(wake)
        if not left:
            del self._watchers[topic]

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._closed.clear()
            self._thread = threading.Thread(target=self._listen, name="job-news", daemon=True)
            self._thread.start()

    def _listen(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                with self._client.pubsub() as subscription:  # type: ignore[no-untyped-call] # untyped in redis
                    subscription.subscribe(self._finished, self._moved)
                    while not self._closed.is_set():
                        message = subscription.get_message(timeout=POLL_SECONDS)
                        if message is not None:
                            pause = FIRST_PAUSE
                            self._heard(message)
            except DRIVER_ERRORS as problem:
                log.warning("subscription_lost", channel=self._finished, problem=str(problem), pause=pause)
                self._closed.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _heard(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        with self._lock:
            if message["type"] == "subscribe":
                waiting = [wake for (where, _), wakes in self._watchers.items() if where == channel for wake in wakes]
            elif message["type"] == "message":
                waiting = list(self._watchers.get((channel, message["data"]), ()))
            else:
                waiting = []
        for wake in waiting:
            wake()
