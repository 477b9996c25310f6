"""Slopes of what is sampled over time, by least squares."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

HOUR: Final = 3_600.0
FEWEST: Final = 3
SURE: Final = 2.0
"""Standard errors that a slope has to be above what is let pass before it counts as one."""


@dataclass(frozen=True, slots=True)
class Slope:
    """How a series moves.

    Attributes:
        mean: Mean of its values.
        per_hour: Least squares; `standard_error` is that slope's, for samples that are independent of each other.
    """

    samples: int
    mean: float
    per_hour: float
    standard_error: float

    def is_growing(self, share: float) -> bool:
        """Tell whether it surely grows by more than this share of its mean in an hour."""
        return self.per_hour - SURE * self.standard_error > share * self.mean


def slope(seconds: Sequence[float], values: Sequence[float]) -> Slope:
    """Return the slope of values over time.

    Raises:
        ValueError: If there are fewer than three samples, or all are of one moment.
    """
    count = len(values)
    if count < FEWEST or len(set(seconds)) == 1:
        raise ValueError(f"{count} samples make no slope with an error; at least {FEWEST} at different times do")
    hours = [one / HOUR for one in seconds]
    middle, mean = math.fsum(hours) / count, math.fsum(values) / count
    spread = math.fsum((one - middle) ** 2 for one in hours)
    per_hour = math.fsum((at - middle) * (value - mean) for at, value in zip(hours, values, strict=True)) / spread
    residuals = math.fsum(
        (value - mean - per_hour * (at - middle)) ** 2 for at, value in zip(hours, values, strict=True)
    )
    return Slope(count, mean, per_hour, math.sqrt(residuals / (count - 2) / spread))


def course(samples: Sequence[Mapping[str, float]], name: str, parts: int) -> list[float]:
    """Return the means of a series over so many parts of the time, each of as many samples, give or take one."""
    values = [one[name] for one in samples]
    edges = [len(values) * part // parts for part in range(parts + 1)]
    return [math.fsum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]


def slopes(samples: Sequence[Mapping[str, float]], *, time: str = "seconds") -> dict[str, Slope]:
    """Return the slope of each series that every sample has; `time` names the one that is the clock's."""
    common = set.intersection(*(set(one) for one in samples)) - {time}
    seconds = [one[time] for one in samples]
    return {name: slope(seconds, [one[name] for one in samples]) for name in sorted(common)}
