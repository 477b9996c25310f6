"""How long what runs now may take in all: set by whoever calls, kept by the adapters, however many requests it makes.

A limit for each request bounds no call: a call makes many, drivers try again, and one that gets a byte now and then is
never silent for long.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_UNTIL: Final[ContextVar[float | None]] = ContextVar("until", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let what is done in this context take so many seconds, or what is left of an outer limit if that is less."""
    ours = time.monotonic() + max(0.0, seconds)
    outer = _UNTIL.get()
    token = _UNTIL.set(ours if outer is None else min(ours, outer))
    try:
        yield
    finally:
        _UNTIL.reset(token)


def left(most: float) -> float:
    """Return the seconds that the next step may take: `most`, or what is left if that is less; never below 0."""
    until = _UNTIL.get()
    return max(0.0, most if until is None else min(most, until - time.monotonic()))
