"""Calibration: from a reranker's raw score to the probability that a passage answers the query.

A calibration belongs to one model as it runs here. Model, revision, file, backend, precision, window and scale must be
the very ones it was fitted for. Runtime version and kernel class may differ only as long as the canaries, pairs
whose scores the artefact carries, still come out with the same relevance.

Fitting one is in `calibration.fit`, which needs scikit-learn.
"""

from second_opinion.pipeline.calibration.applied import FittedCalibration, NoCalibration, calibration_for
from second_opinion.pipeline.calibration.artefact import (
    CANARY_TOLERANCE,
    check_canaries,
    check_key,
    load_artefact,
    named,
    parse_artefact,
    save_artefact,
)
from second_opinion.pipeline.calibration.canaries import canary_pairs, score_canaries
from second_opinion.pipeline.calibration.collections import CollectionCalibrations, ways_out
from second_opinion.schemas.calibration import (
    CERTAINTY,
    CalibrationArtefact,
    CalibrationKey,
    Canary,
    FitReport,
    IsotonicCurve,
    PlattCurve,
    sigmoid,
)

__all__ = [
    "CANARY_TOLERANCE",
    "CERTAINTY",
    "CalibrationArtefact",
    "CalibrationKey",
    "Canary",
    "CollectionCalibrations",
    "FitReport",
    "FittedCalibration",
    "IsotonicCurve",
    "NoCalibration",
    "PlattCurve",
    "calibration_for",
    "canary_pairs",
    "check_canaries",
    "check_key",
    "load_artefact",
    "named",
    "parse_artefact",
    "save_artefact",
    "score_canaries",
    "sigmoid",
    "ways_out",
]
