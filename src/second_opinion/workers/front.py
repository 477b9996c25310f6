"""The front of a queue: where work goes that has had its turn once and lost its worker.

Kombu puts messages in at the left of a Redis list and takes them out at the right. What is put in at the right is
taken next, before all that waits; to consumers, and to whoever else sends, the queue stays what it is. Behind what came
to the front before it, though: where workers are lost faster than that is worked off, the oldest would never be taken.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from celery import Celery
from kombu import Producer
from kombu.utils.json import dumps

from second_opinion.pipeline.adapters.redis.hands import RESCUED

MARK: Final = dumps({RESCUED: True})[1:-1]
MOST: Final = 1_000
"""Messages that are looked past: beyond so many the order at the front is of no use any more."""

PUT: Final = """
local before = {}
while #before < tonumber(ARGV[3]) do
  local next = redis.call('LINDEX', KEYS[1], -1)
  if not next or not string.find(next, ARGV[2], 1, true) then break end
  table.insert(before, redis.call('RPOP', KEYS[1]))
end
redis.call('RPUSH', KEYS[1], ARGV[1])
for place = #before, 1, -1 do redis.call('RPUSH', KEYS[1], before[place]) end
"""
"""In one step, so that nobody takes a message out of turn, or finds the queue empty."""


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
            marked = {**message, "headers": {**message.get("headers", {}), RESCUED: True}}
            with self.conn_or_acquire() as client:
                client.eval(PUT, 1, self._q_for_pri(queue, priority), dumps(marked), MARK, MOST)

    class FrontTransport(transport):  # type: ignore[misc] # whichever the address asks for
        Channel = FrontChannel

    return FrontTransport
