"""How well relevances mean what they say."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from second_opinion.pipeline.calibration_error import calibration_error, near_floor
from second_opinion.schemas.base import Record

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

_TINY: Final = 1e-15


class Quality(Record):
    """How a calibration does on judged candidates of queries.

    Attributes:
        log_loss: Mean over all judged candidates, in nats.
        top1_error: Expected calibration error of each query's best judged candidate, in bins of equal mass.
        near_floor: Share of relevant ones among those with relevance 0.3 to 0.5; None where there are none.
        near_floor_pairs: How many those are.
    """

    log_loss: float
    top1_error: float
    near_floor: float | None
    near_floor_pairs: int


def quality(relevance: Sequence[Floats], relevant: Sequence[Booleans]) -> Quality:
    """Return how relevances do, given query by query with the labels; no query may be without a candidate."""
    flat, labels = np.concatenate(relevance), np.concatenate(relevant)
    best = [int(np.argmax(values)) for values in relevance]
    top = np.array([values[place] for values, place in zip(relevance, best, strict=True)])
    hits = np.array([values[place] for values, place in zip(relevant, best, strict=True)])
    near = near_floor(flat)
    return Quality(
        log_loss=log_loss(flat, labels),
        top1_error=calibration_error(top, hits),
        near_floor=float(labels[near].mean()) if near.any() else None,
        near_floor_pairs=int(near.sum()),
    )


def log_loss(relevance: Floats, relevant: Booleans) -> float:
    """Return the mean negative log likelihood of the labels, in nats."""
    chance = np.clip(np.where(relevant, relevance, 1.0 - relevance), _TINY, 1.0)
    return float(-np.log(chance).mean())
