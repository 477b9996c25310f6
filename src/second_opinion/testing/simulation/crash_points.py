"""Crashes at chosen calls to the outside, with nothing else going wrong: at each call in turn, and at pairs."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from second_opinion.testing.simulation.faults import ChosenFaults, Fault, FaultKind
from second_opinion.testing.simulation.run import simulate

SEED: Final = 2
"""A run with documents that come, change and go, and ten queries."""
KINDS: Final[tuple[FaultKind, ...]] = ("crash", "crash after")


@dataclass(frozen=True, slots=True)
class Crashed:
    """A run with crashes at these calls, and the promises that it broke."""

    kind: FaultKind
    calls: tuple[int, ...]
    violations: tuple[str, ...]


def every_call(kind: FaultKind, *, first: int = 1, stride: int = 1) -> Iterator[Crashed]:
    """Yield a run for each call in turn (from `first`, each `stride`-th), until there are no more calls."""
    number = first
    while True:
        report = simulate(SEED, chosen=ChosenFaults({number: Fault(kind)}))
        if not report.faults:
            return
        yield Crashed(kind, (number,), report.violations)
        number += stride


def pairs(count: int, *, within: int) -> Iterator[Crashed]:
    """Yield runs with crashes at random pairs of the first `within` calls."""
    rng = random.Random(f"pairs {SEED}")  # noqa: S311 - has to be repeatable
    for _ in range(count):
        calls = tuple(sorted(rng.sample(range(1, within + 1), 2)))
        kinds = [rng.choice(KINDS) for _ in calls]
        faults = {call: Fault(kind) for call, kind in zip(calls, kinds, strict=True)}
        yield Crashed(kinds[0], calls, simulate(SEED, chosen=ChosenFaults(faults)).violations)
