"""How far relevances are from what is observed, and the band around the usual floor where that decides verdicts."""

from typing import Final

import numpy as np

from second_opinion.pipeline.resampling import Booleans, Floats
from second_opinion.schemas.evaluation import ReliabilityBin

BINS: Final = 10
PAIRS_A_BIN: Final = 10
DRAWS: Final = 400
BAND: Final = (0.3, 0.5)


class ExpectedError:
    """Equal-mass expected calibration error, for many weightings of the same pairs.

    As many pairs go into each of at most 10 bins (fewer where bins would hold fewer than 10 pairs) as equal relevances,
    which stay together, allow.

    Args:
        relevance: [P], at least one.
        relevant: [P].
    """

    def __init__(self, relevance: Floats, relevant: Booleans) -> None:
        self.count: Final = min(BINS, max(1, len(relevance) // PAIRS_A_BIN))
        self._order = np.argsort(relevance, kind="stable")
        self._relevance = relevance[self._order]
        self._relevant = relevant[self._order].astype(np.float64)
        self._starts = np.flatnonzero(np.concatenate([[True], self._relevance[1:] != self._relevance[:-1]]))

    def __call__(self, weights: Floats) -> float:
        """Return the error with each pair counted as often as `weights` [P] says; NaN where nothing is counted."""
        mass, relevance, relevant = self._binned(weights)
        return float(np.abs(relevance - relevant).sum() / mass.sum()) if mass.sum() > 0.0 else float("nan")

    def by_chance(self) -> float:
        """Return the error that such relevances show on so few pairs although they are right.

        Chance moves the share of relevant pairs in a bin, so the error of a perfect calibration is above 0 (Kumar et
        al., "Verified uncertainty calibration", 2019). The mean over labels drawn from the relevances themselves.
        """
        every = np.ones(len(self._order))
        mass, relevance, _ = self._binned(every)
        held = np.repeat(np.arange(self.count), np.rint(mass).astype(np.intp))
        chance = np.random.default_rng(0)
        apart = []
        for _ in range(DRAWS):
            labels = chance.random(len(held)) < self._relevance
            apart.append(np.abs(np.bincount(held, weights=labels, minlength=self.count) - relevance).sum())
        return float(np.mean(apart) / len(held))

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """Return what the bins hold, each pair counted once."""
        columns = zip(*self._binned(np.ones(len(self._order))), strict=True)
        return tuple(
            ReliabilityBin(pairs=round(mass), mean_relevance=float(relevance / mass), observed=float(relevant / mass))
            for mass, relevance, relevant in columns
            if mass > 0.0
        )

    def _binned(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Return each bin's mass, summed relevance and summed labels."""
        ordered = weights[self._order]
        mass = np.add.reduceat(ordered, self._starts)
        middle = np.cumsum(mass) - mass / 2.0
        total = max(float(mass.sum()), 1e-12)
        place = np.minimum((middle / total * self.count).astype(np.intp), self.count - 1)
        columns = (
            mass,
            mass * self._relevance[self._starts],
            np.add.reduceat(ordered * self._relevant, self._starts),
        )
        found = [np.bincount(place, weights=column, minlength=self.count).astype(np.float64) for column in columns]
        return found[0], found[1], found[2]


def calibration_error(relevance: Floats, relevant: Booleans) -> float:
    """Return the expected calibration error of pairs, each counted once; there must be one."""
    return ExpectedError(relevance, relevant)(np.ones(len(relevance)))


def near_floor(relevance: Floats) -> Booleans:
    """Return which relevances lie in the band from 0.3 to 0.5."""
    low, high = BAND
    return (relevance >= low) & (relevance <= high)
