"""The task queue behind the pipeline's port: Celery messages that carry ids."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from second_opinion.pipeline.time_budget import within
from second_opinion.schemas.base import Versioned
from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.errors import BrokerUnavailable
from second_opinion.schemas.messages import (
    ExtractDocument,
    IndexDocuments,
    Message,
    RemakeDocuments,
    RerankCandidates,
    RunQuery,
)
from second_opinion.schemas.usage import RerankerUsage
from second_opinion.workers.envelopes import UNREADABLE
from second_opinion.workers.front import producer_at_front
from second_opinion.workers.routing import EXTRACT, INDEX, REMAKE, RERANK, RETRIEVE

LONGEST_DELAY: Final = 30.0
"""A worker holds a delayed message in its hands, so a long delay would die with it."""


class CeleryTaskQueue:
    """Sends messages through Celery. Implements `pipeline.ports.TaskQueue`.

    Args:
        app: Whose messages these are; its timeout for connecting is what a call may take here.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._seconds = float(app.conf.broker_connection_timeout)
        self._asking: Any = app.connection_for_write()
        self._lock = threading.Lock()

    def extract(self, document: DocumentRef, *, front: bool = False) -> None:
        """Ask for the text of an operation's bytes; at the `front`, before all that waits."""
        self.send(EXTRACT, ExtractDocument(document=document), front=front)

    def index(self, documents: Sequence[DocumentRef], *, front: bool = False) -> None:
        """Ask for operations to be chunked, embedded and committed; at the `front`, before all that waits."""
        self.send(INDEX, IndexDocuments(documents=tuple(documents)), front=front)

    def remake(self, collection: str, index: str, keys: Sequence[str]) -> None:
        """Ask for documents of a collection, by key, to be made in another of its indices."""
        self.send(REMAKE, RemakeDocuments(collection=collection, index=index, keys=tuple(keys)))

    def retrieve(self, job_id: str, *, front: bool = False) -> None:
        """Ask for a job's candidates; at the `front`, before all that waits."""
        self.send(RETRIEVE, RunQuery(job_id=job_id), front=front)

    def rerank(
        self,
        job_id: str,
        *,
        waits: int = 0,
        delay: float = 0.0,
        usage: Sequence[RerankerUsage] = (),
        front: bool = False,
    ) -> None:
        """Ask for a job's candidates to be scored and judged, `delay` seconds (at most 30) from now.

        At the `front` they are before all that waits.
        """
        message = RerankCandidates(job_id=job_id, waits=waits, usage=tuple(usage))
        self.send(RERANK, message, delay=min(delay, LONGEST_DELAY), front=front)

    def send(self, task: str, message: Versioned, *, delay: float = 0.0, front: bool = False) -> None:
        """Send a message to the queue of its task, to be worked on after `delay` seconds.

        Raises:
            BrokerUnavailable: If Redis does not take it in time.
        """
        args = [_of_this_request(message).model_dump(mode="json")]
        producers = producer_at_front(self._app) if front else self._app.producer_pool.acquire(block=True)
        with _broker_errors(), within(self._seconds), producers as producer, _closed_channels(producer):
            self._app.send_task(task, args=args, countdown=delay or None, producer=producer)

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue, those in the hands of workers left out.

        Raises:
            BrokerUnavailable: If Redis does not answer in time.
        """
        with self._redis() as client:
            return cast("int", client.llen(queue))

    def front(self, queue: str) -> Mapping[str, Any] | None:
        """Return the payload of the message whose turn is next, without taking it; None when none can be read.

        Raises:
            BrokerUnavailable: If Redis does not answer in time.
        """
        with self._redis() as client:
            message = client.lindex(queue, -1)
        try:
            arguments = json.loads(base64.b64decode(json.loads(message)["body"]))[0]
            payload = arguments[0]
        except (TypeError, ValueError, KeyError, IndexError):
            return None  # Anybody can push anything into a queue.
        return payload if isinstance(payload, dict) else None

    def unreadable(self) -> dict[str, int]:
        """Return how many items were no messages and were dropped, by queue, since the count was last reset.

        Raises:
            BrokerUnavailable: If Redis does not answer in time.
        """
        with self._redis() as client:
            counts = cast("Mapping[bytes, bytes]", client.hgetall(UNREADABLE))
        return {name.decode(errors="replace"): int(count) for name, count in counts.items()}

    def memory_share(self) -> float:
        """Return the share of its memory limit that Redis uses; 0 where it has no limit.

        Raises:
            BrokerUnavailable: If Redis does not answer in time.
        """
        with self._redis() as client:
            memory = cast("Mapping[str, Any]", client.info("memory"))
        limit = int(memory.get("maxmemory", 0))
        return int(memory["used_memory"]) / limit if limit else 0.0

    def close(self) -> None:
        """Close the connection by which it is asked; what messages are sent by is the application's."""
        self._asking.close()

    @contextmanager
    def _redis(self) -> Iterator[Any]:
        """Give the client of a connection that is kept: opening one takes longer than what is asked here.

        It is none of the application's pool: what consumes by those leaves replies on their way.
        """
        with _broker_errors(), within(self._seconds):
            with self._lock:
                client = self._asking.default_channel.client
            yield client


def _of_this_request(message: Versioned) -> Versioned:
    """Return the message with the id of the request that this thread works on, if it has one."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if not isinstance(message, Message) or not isinstance(request_id, str):
        return message
    return message.model_copy(update={"request_id": request_id})


@contextmanager
def _closed_channels(producer: Any) -> Iterator[None]:
    """Say of a channel that was closed in the middle of sending what it is: kombu then asks nothing for its address.

    The next message gets another channel: kombu looks whether this one is closed before it begins.
    """
    try:
        yield
    except AttributeError as problem:
        if producer.channel.connection is not None:
            raise
        raise BrokerUnavailable("the connection to Redis was closed while a message was sent") from problem


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, RedisError, OSError) as problem:
        raise BrokerUnavailable(f"Redis does not take messages: {problem}") from problem
