"""Taking a message without ever having it nowhere: it goes from the queue into its taker's own list in one step.

Kombu takes a message with BRPOP, and writes down afterwards that somebody has it. In between it is in a socket and in
nothing else: a process that is killed there takes it along, and one that stands still keeps it for as long as it does.
"""

from json import JSONDecodeError
from queue import Empty
from time import monotonic
from typing import Any, Final

from kombu.utils.json import loads

# ruff: noqa: SLF001 - it is kombu's channel, seen from within

TAKE: Final = """
local left = redis.call('LINDEX', KEYS[1], -1)
if left then return left end
for queue = 2, #KEYS do
  local item = redis.call('RPOPLPUSH', KEYS[queue], KEYS[1])
  if item then return item end
end
return false
"""
"""What was taken before and never arrived (its connection was lost) comes first; then the queue, by priority."""

UNREADABLE_ITEM: Final = (JSONDecodeError, UnicodeDecodeError, RecursionError)


def keeping(channel: type[Any]) -> type[Any]:
    """Return a channel's own kind that takes from its one queue by way of the list `taken_key`, if it is given one.

    A script cannot wait, and BLMOVE has one source. So both queues of other priorities and the wait are served by
    turns: the script looks at all; when there is nothing, BLMOVE waits at the queue that everybody sends to.
    """

    class KeepingChannel(channel):  # type: ignore[misc] # whichever the address asks for
        from_transport_options = (*channel.from_transport_options, "taken_key")
        taken_key = ""
        _taken_from = ""
        _found_nothing = False

        def _brpop_start(self, *arguments: Any) -> None:
            if not self.taken_key:
                super()._brpop_start(*arguments)
            elif queues := self._queue_cycle.consume(len(self.active_queues)):
                (self._taken_from,) = queues
                self._in_poll = self.client.connection
                self._brpop_sent_at = monotonic()
                command = _wait if self._found_nothing else _look
                self.client.connection.send_command(*command(self, self._taken_from))

        def _brpop_read(self, **options: Any) -> Any:
            if not self.taken_key:
                return super()._brpop_read(**options)
            try:
                item = _reply(self)
                # The next look is at all queues, but for the wait that follows a look in vain.
                self._found_nothing = item is None and not self._found_nothing
                if item is None:
                    raise Empty
                _pass_on(self, item, self._taken_from)
            finally:
                self._in_poll = None
                self._flush_brpop_reauth()
            return True

    return KeepingChannel


def _look(channel: Any, queue: str) -> tuple[Any, ...]:
    queues = [channel._q_for_pri(queue, priority) for priority in channel.priority_steps]
    return ("EVAL", TAKE, 1 + len(queues), channel.taken_key, *queues)


def _wait(channel: Any, queue: str) -> tuple[Any, ...]:
    return ("BLMOVE", queue, channel.taken_key, "RIGHT", "LEFT", channel.brpop_timeout)


def _reply(channel: Any) -> Any:
    connection = channel.client.connection
    try:
        return channel.client.parse_response(connection, "EVAL")
    except channel.connection_errors:
        connection.disconnect()
        raise


def _pass_on(channel: Any, item: bytes, queue: str) -> None:
    """Deliver an item, and let go of it once it is among what is not acknowledged, or if it is no message."""
    try:
        message = loads(item.decode())
    except UNREADABLE_ITEM:
        _let_go(channel, item)
        raise
    channel.connection._deliver(message, queue)
    _let_go(channel, item)


def _let_go(channel: Any, item: bytes) -> None:
    with channel.conn_or_acquire() as client:
        client.lrem(channel.taken_key, 1, item)
