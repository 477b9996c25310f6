"""How much reranking a gateway process has taken on, and how fast it gets through it."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from second_opinion.schemas.errors import Overloaded

REQUESTS_AT_ONCE: Final = 64
FIRST_GUESS: Final = 0.03
"""Seconds for a pair, until one has been measured."""
MEMORY: Final = 2_000
"""Pairs over which the pace is measured."""
LONGEST_WAIT: Final = 300.0


class Load:
    """How much is waiting, how fast it goes, and so how long whoever is refused had better wait.

    Args:
        most_passages: That may wait or be read at once; a request that comes alone is let in whatever its size.

    Attributes:
        passages: How many wait or are being read.
    """

    def __init__(self, most_passages: int) -> None:
        self._most = most_passages
        self._lock = threading.Lock()
        self._requests = 0
        self.passages = 0
        self._pairs = 1.0
        self._seconds = FIRST_GUESS
        self._mark = 0.0
        self._reading = 0

    def take(self, passages: int) -> None:
        """Let a request in.

        Raises:
            Overloaded: If too much is waiting; it says when to come back.
        """
        with self._lock:
            full = self._requests > 0 and self.passages + passages > self._most
            if full or self._requests >= REQUESTS_AT_ONCE:
                wait = min(LONGEST_WAIT, max(1.0, math.ceil(self.passages * self._seconds / self._pairs)))
                raise Overloaded(
                    f"{self.passages:,} passages of {self._requests} requests are waiting to be reranked",
                    retry_after=wait,
                )
            self._requests += 1
            self.passages += passages

    def give_back(self, passages: int) -> None:
        """Let a request out."""
        with self._lock:
            self._requests -= 1
            self.passages -= passages

    @contextmanager
    def measured(self, pairs: int) -> Iterator[None]:
        """Count the pairs that the body reads, and the time in which anything was read at all."""
        with self._lock:
            if self._reading == 0:
                self._mark = time.monotonic()
            self._reading += 1
        read = 0
        try:
            yield
            read = pairs
        finally:
            with self._lock:
                now = time.monotonic()
                self._seconds += now - self._mark
                self._pairs += read
                self._mark, self._reading = now, self._reading - 1
                if self._pairs > MEMORY:
                    self._pairs, self._seconds = self._pairs / 2, self._seconds / 2
