"""A worker says that it lives, so that what it has in its hands is given back when it does not."""

import os
import socket
import threading
import time
import uuid
from typing import Final

import structlog

from second_opinion.pipeline.adapters.redis.hands import RedisHands
from second_opinion.schemas.errors import OpinionError

BEAT_SECONDS: Final = 3.0
ALIVE_SECONDS: Final = 15.0
"""Silence after which a worker counts as dead; what it held is then worked on elsewhere, whatever it still does."""

log = structlog.get_logger(__name__)


def holder_name(queue: str) -> str:
    """Return a name for this process as a holder of a queue's messages, never used before."""
    return f"{queue}:{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:12]}"


class Presence:
    """Says every few seconds, in a thread of its own, that a holder lives.

    Args:
        hands: Where it is said.
        holder: Who lives.
    """

    def __init__(self, hands: RedisHands, holder: str) -> None:
        self._hands = hands
        self._holder = holder

    def begin(self) -> None:
        """Wait until it could be said once, before any message is taken; go on in the background."""
        while not self._say():
            time.sleep(1.0)
        threading.Thread(target=self._go_on, name="presence", daemon=True).start()

    def _go_on(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            self._say()

    def _say(self) -> bool:
        try:
            self._hands.live(self._holder, ALIVE_SECONDS)
        except OpinionError as problem:
            log.warning("presence_not_told", code=problem.code, error=problem.message)
            return False
        return True
