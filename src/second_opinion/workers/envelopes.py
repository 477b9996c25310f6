"""What would end a worker while it reads from its broker, and need not: items that are no messages, a lost connection.

What is no message is counted and left. Kombu decodes what it takes from a Redis list in the worker's own event loop,
and whatever is raised there ends the worker: one word pushed into a queue could end all workers of a role.
"""

from functools import cache
from queue import Empty
from typing import Any, Final

import structlog
from celery import Celery
from redis import Connection
from redis.exceptions import ConnectionError  # noqa: A004 - what the transport takes for a lost connection

from second_opinion.pipeline.adapters.redis.timed import TimedConnection, TimedSslConnection
from second_opinion.workers.taking import UNREADABLE_ITEM, keeping

UNREADABLE: Final = "opinion:unreadable"
"""A hash in the broker's database: by queue, how many items were no messages."""
SHOWN: Final = 200

log = structlog.get_logger(__name__)


class CheckingCelery(Celery):
    """A Celery application whose workers survive what is no message."""

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection that consumes with the checks."""
        connection: Any = super().connection_for_read(url, **options)
        connection.transport_cls = checking(timed(connection.get_transport_cls()))
        return connection

    def connection_for_write(self, url: str | None = None, *arguments: Any, **options: Any) -> Any:
        """Return a connection that sends."""
        connection: Any = super().connection_for_write(url, *arguments, **options)
        connection.transport_cls = timed(connection.get_transport_cls())
        return connection


@cache
def timed(transport: type[Any]) -> type[Any]:
    """Return a transport's own kind that waits for no reply for longer than its timeout, though bytes of it come."""
    if transport.Channel.connection_class is not Connection:
        return transport  # Sentinel makes its connections in its own way.

    class TimedChannel(transport.Channel):  # type: ignore[misc, name-defined] # whichever the address asks for
        connection_class = TimedConnection
        connection_class_ssl = TimedSslConnection

    class TimedTransport(transport):  # type: ignore[misc] # likewise
        Channel = TimedChannel

    return TimedTransport


def checking(transport: type[Any]) -> type[Any]:
    """Return a transport's own kind (plain, TLS or Sentinel) that gives consumers nothing but messages."""

    class CheckingChannel(keeping(transport.Channel)):  # type: ignore[misc] # whichever the address asks for
        def _brpop_read(self, **options: Any) -> Any:
            try:
                return super()._brpop_read(**options)
            except UNREADABLE_ITEM as problem:
                self.skip(next(iter(self.active_queues), ""), problem)
                raise Empty from None

        def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: FBT002 - kombu's form
            # A channel that is closed after its connection, with messages in its hands, wants to put them back and
            # asks it for its address. As a lost connection that is passed over; as what it is, it ends the worker.
            if self.connection.client is None:
                raise ConnectionError("the connection is gone")
            return super()._connparams(asynchronous)

        def skip(self, queue: str, problem: Exception) -> None:
            """Count an item that is no message."""
            told = f"{type(problem).__name__}: {problem}"[:SHOWN]
            log.error("message_unreadable", queue=queue, problem=told)
            try:
                with self.conn_or_acquire() as client:
                    client.hincrby(UNREADABLE, queue, 1)
            except self.connection_errors as away:
                log.warning("unreadable_not_counted", queue=queue, problem=str(away)[:SHOWN])

    class CheckingTransport(transport):  # type: ignore[misc] # whichever the address asks for
        Channel = CheckingChannel

        def _deliver(self, message: Any, queue: str) -> Any:
            channel = next(one for one in self.channels if one)
            try:
                _check(message, channel)
            except Exception as problem:  # noqa: BLE001 - an item may be wrong in any way
                channel.skip(queue, problem)
                return None
            return super()._deliver(message, queue)

    return CheckingTransport


def _check(message: Any, channel: Any) -> None:
    """Raise whatever is raised when an item is taken for a message, before it is."""
    made = channel.Message(message, channel=channel)
    delivery = made.delivery_info
    hash((made.delivery_tag, delivery["exchange"], delivery["routing_key"]))
    if not isinstance(made.headers, dict):
        raise TypeError("headers are no object")
