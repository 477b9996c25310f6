"""What goes wrong, and when: drawn from a seed, or chosen call by call."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

FaultKind = Literal["crash", "crash after", "refused", "timed out", "late", "partial", "turned away", "slow"]
"""What happens at a call to the outside.

    crash        the process ends before the call has its effect
    crash after  the process ends when it has had it
    refused      an error, and no effect
    timed out    an error, and the effect was there
    late         an error, and the effect comes some seconds later
    partial      an error, and a part of a batch was applied
    turned away  the call returns, but some items of a batch were not applied (429)
    slow         the answer takes seconds, now and then longer than a lease
"""

KINDS: Final[tuple[tuple[FaultKind, float], ...]] = (
    ("crash", 0.2),
    ("crash after", 0.1),
    ("refused", 0.1),
    ("timed out", 0.15),
    ("late", 0.1),
    ("partial", 0.1),
    ("turned away", 0.1),
    ("slow", 0.15),
)
ERRORS_ONLY: Final = frozenset({"crash", "crash after", "slow"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its kind, and a number in [0, 1) that says how much of it."""

    kind: FaultKind
    share: float = 0.5


class FaultSource(Protocol):
    """Decides about each call to the outside, numbered from 1."""

    def at(self, call: int, name: str) -> Fault | None:
        """Return what goes wrong at a call such as `documents.swap`."""


class NoFaults:
    """Nothing goes wrong."""

    def at(self, call: int, name: str) -> Fault | None:  # noqa: ARG002 - the protocol's form
        """Return None."""
        return None


@dataclass(slots=True)
class SeededFaults:
    """Faults drawn from a seed.

    Args:
        rate: Share of calls at which something goes wrong.
    """

    seed: int
    rate: float
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Begin the stream."""
        self.rng = random.Random(f"faults {self.seed}")  # noqa: S311 - has to be repeatable

    def at(self, call: int, name: str) -> Fault | None:  # noqa: ARG002 - the protocol's form
        """Return what goes wrong, with the same draws for every call."""
        chance, kind, share = self.rng.random(), self.rng.random(), self.rng.random()
        if chance >= self.rate:
            return None
        for name_of_kind, weight in KINDS:
            kind -= weight
            if kind < 0.0:
                return Fault(name_of_kind, share)
        return Fault("slow", share)


@dataclass(frozen=True, slots=True)
class ChosenFaults:
    """Faults at chosen calls, by number."""

    faults: Mapping[int, Fault]

    def at(self, call: int, name: str) -> Fault | None:  # noqa: ARG002 - the protocol's form
        """Return what goes wrong."""
        return self.faults.get(call)


@dataclass(slots=True)
class Fates:
    """What happens to whole processes and servers, drawn from a seed: each event has a number, so it can be spared."""

    seed: int
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Begin the stream."""
        self.rng = random.Random(f"fates {self.seed}")  # noqa: S311 - has to be repeatable

    def pick(self, events: Mapping[str, Callable[[random.Random], str | None]]) -> Callable[[], str | None]:
        """Return one of the events, with a stream of its own, so that sparing it changes no other."""
        name = self.rng.choice(sorted(events))
        stream = random.Random(self.rng.random())  # noqa: S311 - has to be repeatable
        return lambda: events[name](stream)
