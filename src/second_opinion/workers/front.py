"""The front of a queue: where work goes that has had its turn once and lost its worker.

Kombu puts messages in at the left of a Redis list and takes them out at the right. What is put in at the right is taken
next, before all that waits; to consumers, and to whoever else sends, the queue stays what it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Producer
from kombu.utils.json import dumps


@contextmanager
def producer_at_front(app: Celery) -> Iterator[Producer]:
    """Give a producer whose messages go to the front of their queues, with a connection of its own."""
    with app.connection_for_write() as opened:
        connection: Any = opened
        connection.transport_cls = _at_front(connection.get_transport_cls())
        yield Producer(connection)


def _at_front(transport: type[Any]) -> type[Any]:
    """Return the transport's own kind (plain, TLS or Sentinel), which puts messages in at the other end."""

    class FrontChannel(transport.Channel):  # type: ignore[misc, name-defined] # whichever the address asks for
        def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
            priority = self._get_message_priority(message, reverse=False)
            with self.conn_or_acquire() as client:
                client.rpush(self._q_for_pri(queue, priority), dumps(message))

    class FrontTransport(transport):  # type: ignore[misc] # whichever the address asks for
        Channel = FrontChannel

    return FrontTransport
