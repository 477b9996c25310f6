"""Intervals by bootstrap over queries: what is measured on one query is alike, so queries are drawn, not pairs.

A bootstrap of a share that is 0 or 1 everywhere is blind to chance; there Wilson's interval is wider, and `widened`
tells the wider of the two.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from second_opinion.schemas.floor_choice import Estimate

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Places = NDArray[np.intp]

RESAMPLES: Final = 1_000
_Z: Final = 1.959964
_TAILS: Final = (2.5, 97.5)


def draws(queries: int) -> Floats:
    """Return how often each query is drawn in each resample, shape (RESAMPLES, queries); the same at every call."""
    rng = np.random.default_rng(0)
    return rng.multinomial(queries, np.full(queries, 1.0 / queries), size=RESAMPLES).astype(np.float64)


def draws_within(strata: Sequence[int]) -> Floats:
    """Return draws as `draws` does, each stratum from its own queries alone; `strata` names each query's."""
    named = np.asarray(strata)
    rng = np.random.default_rng(0)
    found = np.zeros((RESAMPLES, len(named)))
    for stratum in np.unique(named):
        places = np.flatnonzero(named == stratum)
        found[:, places] = rng.multinomial(len(places), np.full(len(places), 1.0 / len(places)), size=RESAMPLES)
    return found


def ratio(over: Floats, under: Floats) -> Floats:
    """Return `over / under`, NaN where `under` is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(under > 0.0, over / under, np.nan)
    return found


def estimate(value: float, resampled: Floats) -> Estimate | None:
    """Return a value with the middle 95 % of what the resamples gave; None where it is not finite."""
    known = resampled[np.isfinite(resampled)]
    if not np.isfinite(value):
        return None
    low, high = np.percentile(known, _TAILS) if len(known) else (value, value)
    return Estimate(value=float(value), low=float(min(low, value)), high=float(max(high, value)))


def widened(one: Estimate, count: float) -> Estimate:
    """Return an estimate of a share of `count` with the wider of its own and Wilson's interval."""
    squared = _Z * _Z
    middle = (one.value + squared / (2.0 * count)) / (1.0 + squared / count)
    spread = one.value * (1.0 - one.value) / count + squared / (4.0 * count * count)
    half = _Z * float(np.sqrt(spread)) / (1.0 + squared / count)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(value=one.value, low=min(one.low, low, one.value), high=max(one.high, high, one.value))


class Auroc:
    """The AUROC of values over two classes, ties counted half, for many weightings of them at once."""

    def __init__(self, values: Floats, classes: Booleans) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self._positive = classes[self._order]

    def __call__(self, weights: Floats) -> Floats:
        """Return the AUROC for each row of weights, shape (rows, values); NaN where a class has no weight."""
        ordered = weights[:, self._order]
        positive = np.add.reduceat(ordered * self._positive, self._starts, axis=1)
        negative = np.add.reduceat(ordered * ~self._positive, self._starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative
        wins = (positive * (below + 0.5 * negative)).sum(axis=1)
        return ratio(wins, positive.sum(axis=1) * negative.sum(axis=1))
