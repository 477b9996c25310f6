"""What workers hold: messages that are given back when their holder is dead.

Kombu keeps the messages that a worker has taken and not acknowledged in one hash for all workers, and gives them back
by their age alone, after the longest time that any task may take. Here each holder has a hash of its own, and says
every few seconds that it lives. Of one that has not said so for long, all goes back to the front of its queue at once,
in the order in which it was taken: what it has, and what it has taken and not looked at yet, which is in a list
(`workers/taking.py`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import redis_errors
from second_opinion.pipeline.adapters.redis.keys import Keys

QUICK_RETURNS: Final = 3
"""A message that its holders died with more often than this may be why: kombu gives it back, after its long time."""
RETURNS: Final = "opinion_returns"
RESCUED: Final = "rescued"
"""Header of a message that was put at the front of its queue; `workers/front.py` puts the next behind these."""
HOLDERS_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Returned:
    """What became of the messages of dead holders.

    Attributes:
        restored: Back at the front of their queue.
        set_aside: Left to kombu's own, slow way, because their holders died too often.
    """

    restored: int = 0
    set_aside: int = 0


def transport_options(holder: str) -> dict[str, str]:
    """Return the options by which kombu keeps what a holder has in its hands apart from all others."""
    names = ("taken", "unacked", "unacked_index", "unacked_mutex")
    return {f"{name}_key": f"{name}.{holder}" for name in names}


class RedisHands:
    """Who holds messages, in the broker's database. Any number may look after them at once.

    Args:
        client: Must not decode its replies: what is in a queue may be anything.
        namespace: First part of every key.
    """

    def __init__(self, client: Redis, *, namespace: str = "opinion") -> None:
        self._client = client
        self._holders = Keys(namespace).holders

    def live(self, holder: str, seconds: float) -> None:
        """Say that a holder, named `QUEUE:ID`, lives, and will say so again within so many seconds.

        Raises:
            JobStoreUnavailable: If Redis does not answer.
        """
        with redis_errors():
            self._client.zadd(self._holders, {holder: self._now() + seconds})

    def give_back(self) -> Returned:
        """Give back what dead holders have in their hands.

        Raises:
            JobStoreUnavailable: If Redis does not answer. What was not given back is found the next time.
        """
        with redis_errors():
            now = self._now()
            dead = cast("list[bytes]", self._client.zrangebyscore(self._holders, 0, now, start=0, num=HOLDERS_AT_ONCE))
            found = [self._give_back(holder.decode(), now) for holder in dead]
        return Returned(sum(one.restored for one in found), sum(one.set_aside for one in found))

    def _give_back(self, holder: str, now: float) -> Returned:
        """Move everything in one step, and only as it was seen: what is acknowledged meanwhile does not come back."""
        keys, queue = transport_options(holder), holder.partition(":")[0]

        def move(pipe: Any) -> Returned:
            taken, by_time = pipe.lrange(keys["taken_key"], 0, -1), pipe.zrange(keys["unacked_index_key"], 0, -1)
            held = _in_order(pipe.hgetall(keys["unacked_key"]), by_time)
            pipe.multi()
            # What is put in last is at the very front, so the last to be taken is put in first.
            found = [_put_back(pipe, queue, one, now) for one in reversed(_all_held(taken, held))]
            pipe.delete(*keys.values())
            pipe.zrem(self._holders, holder)
            return Returned(sum(found), len(found) - sum(found))

        watched = (keys["taken_key"], keys["unacked_key"])
        moved = self._client.transaction(cast("Any", move), *watched, value_from_callable=True)
        return cast("Returned", moved)

    def _now(self) -> float:
        seconds, microseconds = self._client.time()
        return seconds + microseconds / 1e6


@dataclass(frozen=True, slots=True)
class _Held:
    """A message as its holder has it; a raw item, if it is none."""

    raw: bytes
    tag: str = ""
    message: dict[str, Any] | None = None
    exchange: str = ""
    routing_key: str = ""


def _in_order(held: Mapping[bytes, bytes], by_time: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return what is held in the order in which it was taken, by tag; what has no time comes last."""
    return {tag: held[tag] for tag in dict.fromkeys([*by_time, *held]) if tag in held}


def _all_held(taken: Sequence[bytes], unacknowledged: Mapping[bytes, bytes]) -> list[_Held]:
    """Return what a holder has, once: it may have died between writing down that it has something and letting go."""
    held = [_Held(kept, tag.decode(), *json.loads(kept)) for tag, kept in unacknowledged.items()]
    known = {one.tag for one in held}
    return held + [one for one in map(_as_taken, taken) if one.tag not in known]


def _as_taken(item: bytes) -> _Held:
    try:
        message = json.loads(item)
        delivery = message["properties"]["delivery_info"]
        tag = str(message["properties"]["delivery_tag"])
        return _Held(item, tag, message, delivery["exchange"], delivery["routing_key"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return _Held(item)


def _put_back(pipe: Any, queue: str, held: _Held, now: float) -> bool:
    """Put one back at the front, or aside; tell whether it was the front."""
    if held.message is None:
        pipe.rpush(queue, held.raw)
        return True
    if _count_return(held.message) <= QUICK_RETURNS:
        pipe.rpush(queue, json.dumps(held.message))
        return True
    pipe.hset("unacked", held.tag, json.dumps([held.message, held.exchange, held.routing_key]))
    pipe.zadd("unacked_index", {held.tag: now})
    return False


def _count_return(message: dict[str, Any]) -> int:
    headers = message.get("headers") or {}
    returns = int(headers.get(RETURNS, 0)) + 1
    message["headers"] = {**headers, RETURNS: returns, RESCUED: True, "redelivered": True}
    return returns
