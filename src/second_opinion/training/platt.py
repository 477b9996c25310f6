"""Fits the logistic curve of a calibration: two numbers, by maximum likelihood in float64."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from second_opinion.pipeline.calibration import PlattCurve
from second_opinion.schemas.errors import ModelUnusable

LEAST_JUDGEMENTS: Final = 50
_STEPS: Final = 100
_SMALLEST: Final = 1e-10

Numbers = NDArray[np.float64]


def fit_platt(raw: Numbers, relevant: NDArray[np.bool_]) -> PlattCurve:
    """Return the curve under which the labels are likeliest.

    Args:
        raw: Raw scores [N].
        relevant: Labels [N].

    Raises:
        ModelUnusable: If there are too few pairs, of one kind only, or a higher score does not mean more relevant.
    """
    positives = int(relevant.sum())
    if len(raw) < LEAST_JUDGEMENTS or positives in {0, len(raw)}:
        raise ModelUnusable(f"{len(raw)} pairs, {positives} of them relevant: too few of both kinds to fit a curve")
    # Platt's targets stay off 0 and 1, so that separable data has a finite answer.
    target = np.where(relevant, (positives + 1) / (positives + 2), 1 / (len(raw) - positives + 2))
    inputs = np.stack([raw, np.ones_like(raw)], axis=1)
    found = np.array([1.0, np.log(positives / (len(raw) - positives)) - raw.mean()])
    for _ in range(_STEPS):
        chance = chances(inputs @ found)
        weight = np.maximum(chance * (1 - chance), _SMALLEST)
        step = np.linalg.solve((inputs * weight[:, None]).T @ inputs, inputs.T @ (target - chance))
        found = found + step * min(1.0, 2.0 / float(np.abs(step).max() + _SMALLEST))
        if float(np.abs(step).max()) < _SMALLEST:
            break
    if not found[0] > 0.0:
        raise ModelUnusable(f"the fitted slope is {found[0]:.3f}: a higher score does not mean more relevant")
    return PlattCurve(slope=float(found[0]), intercept=float(found[1]))


def log_loss(curve: PlattCurve, raw: Numbers, relevant: NDArray[np.bool_]) -> float:
    """Return the mean negative log likelihood, in nats."""
    logit = curve.slope * raw + curve.intercept
    return float(np.mean(np.logaddexp(0.0, np.where(relevant, -logit, logit))))


def calibration_error(relevance: Numbers, relevant: NDArray[np.bool_], bins: int = 10) -> float:
    """Return the expected calibration error over bins of equal mass."""
    parts = np.array_split(np.argsort(relevance, kind="stable"), bins)
    gaps = [len(part) * abs(relevance[part].mean() - relevant[part].mean()) for part in parts if len(part)]
    return float(sum(gaps) / len(relevance))


def chances(logit: Numbers) -> Numbers:
    """Return 1 / (1 + exp(-logit)) for each."""
    return np.exp(-np.logaddexp(0.0, -logit))
