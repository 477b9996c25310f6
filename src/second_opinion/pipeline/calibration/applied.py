"""Calibrations at work: each turns raw scores into relevance."""

import math
from collections.abc import Sequence
from pathlib import Path

from second_opinion.pipeline.calibration.artefact import check_canaries, check_key, load_artefact
from second_opinion.pipeline.ports import Reranker
from second_opinion.schemas.calibration import CalibrationArtefact, Scale, require_finite, sigmoid
from second_opinion.schemas.errors import RelevanceMissing
from second_opinion.schemas.verdict import CalibrationSource


class FittedCalibration:
    """An artefact at work.

    Args:
        artefact: The artefact, checked against the reranker.
        source: Whether it came with the model or belongs to a collection.
    """

    def __init__(self, artefact: CalibrationArtefact, source: CalibrationSource) -> None:
        self.artefact = artefact
        self.id: str | None = artefact.id
        self.source = source

    def relevance(self, raw: Sequence[float]) -> list[float]:
        """Return the relevance of each raw score, in [0, 1].

        Raises:
            RelevanceMissing: If one is not finite.
        """
        return [self.artefact.curve.relevance(value) for value in raw]

    def query_relevance(self, raw: Sequence[float]) -> float | None:
        """Return the chance that any of a query's candidates answers it, from the best of their raw scores.

        None when the artefact has no query-level curve, or there is no candidate.

        Raises:
            RelevanceMissing: If a score is not finite.
        """
        if self.artefact.query_level is None or not raw:
            return None
        return self.artefact.query_level.relevance(max(map(require_finite, raw)))


class NoCalibration:
    """For models without an artefact: a logit is squashed, a probability is taken at its word, and results say so."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self.id: str | None = None
        self.source = CalibrationSource.NONE

    def relevance(self, raw: Sequence[float]) -> list[float]:
        """Return each raw score as a number in [0, 1]; it orders passages but is no probability.

        Raises:
            RelevanceMissing: If one is not finite, or is no probability though declared one.
        """
        return [self._squash(value) for value in raw]

    def query_relevance(self, raw: Sequence[float]) -> float | None:  # noqa: ARG002 - the port's form
        """Return None: without an artefact nothing is known of a query as a whole."""
        return None

    def _squash(self, value: float) -> float:
        if not math.isfinite(value):
            raise RelevanceMissing(f"a raw score of {value} has no relevance")
        if self._scale == "logit":
            return sigmoid(value)
        if not 0.0 <= value <= 1.0:
            raise RelevanceMissing(f"the reranker declares probabilities but returned {value}")
        return value


def calibration_for(
    reranker: Reranker, path: Path, *, source: CalibrationSource = CalibrationSource.SHIPPED
) -> FittedCalibration | NoCalibration:
    """Return the calibration at `path` after checking that it is this reranker's; where there is no file, none.

    Raises:
        ModelUnusable: If the file is no calibration.
        CalibrationMismatch: If it belongs to another model, or scores have drifted.
    """
    if not path.exists():
        return NoCalibration(reranker.spec.scale)
    artefact = load_artefact(path)
    check_key(artefact, reranker.spec)
    check_canaries(artefact, reranker)
    return FittedCalibration(artefact, source)
