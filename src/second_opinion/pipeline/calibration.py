"""Calibration: from a reranker's raw score to the probability that a passage answers the query.

A calibration belongs to one model as it runs here. Model, revision, file, backend, precision, window and scale must be
the very ones it was fitted for. Runtime version and kernel class may differ only as long as the canaries, pairs
whose scores the artefact carries, still come out with the same relevance.

Everything is computed in float64: in smaller types a sigmoid saturates at 1.0.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from second_opinion.pipeline.ports import Reranker, RerankerSpec, Scale
from second_opinion.schemas.base import Record, Versioned
from second_opinion.schemas.errors import CalibrationMismatch, ModelUnusable, RelevanceMissing
from second_opinion.schemas.verdict import CalibrationSource

CANARY_TOLERANCE: Final = 0.02
"""How far a canary's relevance may be from the recorded one: no verdict further than this from the floor can differ."""


class CalibrationKey(Record):
    """What a calibration was fitted for. `runtime` and `kernel` are those of the machine that fitted it."""

    model: str
    revision: str
    file_hash: str
    backend: str
    dtype: str
    max_tokens: int
    scale: Scale
    runtime: str = ""
    kernel: str = ""

    @classmethod
    def of(cls, spec: RerankerSpec) -> "CalibrationKey":
        """Return the key of a reranker."""
        return cls(**{name: getattr(spec, name) for name in cls.model_fields})


class PlattCurve(Record):
    """A logistic curve: relevance = 1 / (1 + exp(-(slope * raw + intercept))). It rises, so it keeps the order."""

    slope: float = Field(gt=0.0, allow_inf_nan=False)
    intercept: float = Field(allow_inf_nan=False)

    def relevance(self, raw: float) -> float:
        """Return the relevance of one raw score.

        Raises:
            RelevanceMissing: If the score is not finite.
        """
        if not math.isfinite(raw):
            raise RelevanceMissing(f"a raw score of {raw} has no relevance")
        return sigmoid(self.slope * raw + self.intercept)


class Canary(Record):
    """A pair in our own words whose raw score is known."""

    query: str
    passage: str
    raw_score: float


class FitReport(Record):
    """What a curve was fitted on, so that its promise can be judged.

    Attributes:
        slices: Name of each data slice and how many of its queries were used.
        command: What made the artefact.
    """

    pairs: int
    relevant_pairs: int
    queries: int
    slices: dict[str, int] = Field(default_factory=dict)
    log_loss: float | None = None
    command: str = ""


class CalibrationArtefact(Versioned):
    """A calibration as a file keeps it.

    Attributes:
        id: Names it in results and traces.
        curve: For single pairs.
        query_level: For the best of all candidates of a query, which is biased upward; None until one is fitted.
    """

    id: str = Field(min_length=1)
    key: CalibrationKey
    method: Literal["platt"] = "platt"
    curve: PlattCurve
    query_level: PlattCurve | None = None
    fitted_on: FitReport
    canaries: tuple[Canary, ...] = ()


class PlattCalibration:
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

    def _squash(self, value: float) -> float:
        if not math.isfinite(value):
            raise RelevanceMissing(f"a raw score of {value} has no relevance")
        if self._scale == "logit":
            return sigmoid(value)
        if not 0.0 <= value <= 1.0:
            raise RelevanceMissing(f"the reranker declares probabilities but returned {value}")
        return value


def load_artefact(path: Path) -> CalibrationArtefact:
    """Read a calibration file.

    Raises:
        ModelUnusable: If it cannot be read or is no calibration; the sentence names file and field.
    """
    try:
        return CalibrationArtefact.model_validate_json(path.read_bytes())
    except OSError as problem:
        raise ModelUnusable(f"calibration {path} cannot be read: {problem.strerror or problem}") from problem
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelUnusable(f"{path} is no calibration: {where}: {first['msg']}") from problem


def check_key(artefact: CalibrationArtefact, spec: RerankerSpec) -> None:
    """Refuse a calibration of another model.

    Raises:
        CalibrationMismatch: If anything but runtime and kernel differs; the sentence names what.
    """
    here = CalibrationKey.of(spec)
    names = [name for name in CalibrationKey.model_fields if name not in {"runtime", "kernel"}]
    differences = [
        f"{name} is {getattr(here, name)!r}, fitted for {getattr(artefact.key, name)!r}"
        for name in names
        if getattr(here, name) != getattr(artefact.key, name)
    ]
    if differences:
        raise CalibrationMismatch(
            f"calibration {artefact.id} belongs to another model: {'; '.join(differences)}",
            hint="Fit a calibration for this model: python -m second_opinion.training.calibrate",
        )


def check_canaries(artefact: CalibrationArtefact, reranker: Reranker) -> None:
    """Score the canaries and refuse a drift; what a changed runtime, processor or provider does to scores shows here.

    Raises:
        CalibrationMismatch: If a canary's relevance is off by more than `CANARY_TOLERANCE`.
    """
    for canary in artefact.canaries:
        (found,) = reranker.score(canary.query, [canary.passage])
        expected, relevance = artefact.curve.relevance(canary.raw_score), artefact.curve.relevance(found)
        if abs(relevance - expected) > CANARY_TOLERANCE:
            spec, key = reranker.spec, artefact.key
            raise CalibrationMismatch(
                f"calibration {artefact.id} does not hold here: a known pair has relevance {relevance:.3f} instead of "
                f"{expected:.3f} (here {spec.runtime} on {spec.kernel}, fitted with {key.runtime} on {key.kernel})",
                hint="Fit a calibration on this machine: python -m second_opinion.training.calibrate",
            )


def calibration_for(
    reranker: Reranker, path: Path, *, source: CalibrationSource = CalibrationSource.SHIPPED
) -> PlattCalibration | NoCalibration:
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
    return PlattCalibration(artefact, source)


def sigmoid(value: float) -> float:
    """Return 1 / (1 + exp(-value)) without overflow."""
    if value >= 0.0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)
