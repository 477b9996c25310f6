"""What workers hold that is nowhere else: messages sent by task name, given back when their holder is dead.

Kombu keeps the messages that a worker has taken and not acknowledged in one hash for all workers, and gives them back
by their age alone, after the longest time that any task may take. Here each holder has a hash of its own, and says
every few seconds that it lives. Of one that has not said so for long, all goes back to the front of its queue at once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import redis_errors
from second_opinion.pipeline.adapters.redis.keys import Keys

QUICK_RETURNS: Final = 3
"""A message that its holders died with more often than this may be why: kombu gives it back, after its long time."""
RETURNS: Final = "opinion_returns"
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
    names = ("unacked", "unacked_index", "unacked_mutex")
    return {f"{name}_key": f"{name}.{holder}" for name in names}


class RedisHands:
    """Who holds messages, in the broker's database. Any number may look after them at once.

    Args:
        client: Must decode its replies.
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
            dead = cast("list[str]", self._client.zrangebyscore(self._holders, 0, now, start=0, num=HOLDERS_AT_ONCE))
            found = [self._give_back(holder, now) for holder in dead]
        return Returned(sum(one.restored for one in found), sum(one.set_aside for one in found))

    def _give_back(self, holder: str, now: float) -> Returned:
        """Move everything in one step, and only as it was seen: what is acknowledged meanwhile does not come back."""
        keys, queue = transport_options(holder), holder.partition(":")[0]

        def move(pipe: Any) -> Returned:
            held = cast("Mapping[str, str]", pipe.hgetall(keys["unacked_key"]))
            pipe.multi()
            restored = 0
            for tag, kept in held.items():
                message, exchange, routing_key = json.loads(kept)
                returns = _count_return(message)
                if returns > QUICK_RETURNS:
                    pipe.hset("unacked", tag, json.dumps([message, exchange, routing_key]))
                    pipe.zadd("unacked_index", {tag: now})
                else:
                    pipe.rpush(queue, json.dumps(message))
                    restored += 1
            pipe.delete(*keys.values())
            pipe.zrem(self._holders, holder)
            return Returned(restored, len(held) - restored)

        moved = self._client.transaction(cast("Any", move), keys["unacked_key"], value_from_callable=True)
        return cast("Returned", moved)

    def _now(self) -> float:
        seconds, microseconds = self._client.time()
        return seconds + microseconds / 1e6


def _count_return(message: dict[str, Any]) -> int:
    headers = message.get("headers") or {}
    returns = int(headers.get(RETURNS, 0)) + 1
    message["headers"] = {**headers, RETURNS: returns, "redelivered": True}
    return returns
