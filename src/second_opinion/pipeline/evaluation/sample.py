"""The queries that are measured, of one data set or of several, and intervals over them."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from second_opinion.pipeline.resampling import (
    Auroc,
    Booleans,
    Floats,
    Places,
    draws_within,
    estimate,
    ratio,
    widened,
)
from second_opinion.schemas.floor_choice import Estimate

AT_ONCE: Final = 100


class Sample:
    """Queries, each of one data set; every set is resampled from its own queries.

    Args:
        sets: The number of each query's data set, [N].
    """

    def __init__(self, sets: Sequence[int]) -> None:
        self._sets: Final = np.asarray(sets, dtype=np.intp)
        self.weights: Final = draws_within(sets)

    def __len__(self) -> int:
        """Return how many queries there are."""
        return len(self._sets)

    def mean(self, values: Floats, places: Places) -> Estimate | None:
        """Return the mean over data sets of the means of `values` [M], measured on the queries at `places` [M]."""
        found, resampled = [], []
        for one in np.unique(self._sets[places]):
            mine = self._sets[places] == one
            found.append(float(values[mine].mean()))
            weights = self.weights[:, places[mine]]
            resampled.append(ratio(weights @ values[mine], weights.sum(axis=1)))
        return estimate(float(np.mean(found)), np.mean(resampled, axis=0)) if found else None

    def share(self, over: Floats, under: Floats) -> Estimate | None:
        """Return the sum of `over` [N] by the sum of `under` [N], a share of `under`; None where there is none."""
        found = self.quotient(over, under)
        return None if found is None else widened(found, float(under.sum()))

    def quotient(self, over: Floats, under: Floats) -> Estimate | None:
        """Return the sum of `over` [N] by the sum of `under` [N]; None where that is 0."""
        if not under.sum() > 0.0:
            return None
        return estimate(float(over.sum() / under.sum()), ratio(self.weights @ over, self.weights @ under))

    def auroc(self, values: Floats, positive: Booleans, places: Places) -> Estimate | None:
        """Return the AUROC of `values` [M] over two classes; None where one is absent."""
        if positive.all() or not positive.any():
            return None
        measure = Auroc(values, positive)
        blocks = range(0, len(self.weights), AT_ONCE)
        resampled = [measure(self.weights[start : start + AT_ONCE][:, places]) for start in blocks]
        return estimate(float(measure(np.ones((1, len(values))))[0]), np.concatenate(resampled))

    def resamples(self, places: Places) -> Iterator[Floats]:
        """Yield for each resample how often what belongs to the queries at `places` [M] was drawn, [M]."""
        for weights in self.weights:
            yield weights[places]
