"""Calibrations as they are kept: curves from raw scores to relevance, what they were fitted for, and known pairs.

A curve is computed in float64: in smaller types a sigmoid saturates at 1.0.
"""

import math
from bisect import bisect_right
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from second_opinion.schemas.base import Record, Versioned
from second_opinion.schemas.errors import RelevanceMissing

Scale = Literal["logit", "probability"]
Method = Literal["platt", "isotonic"]
CERTAINTY: Final = 1e-4
"""Steps can be fitted on passages that are all alike; no relevance read off them is nearer to 0 or 1 than this."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Chance = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


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

    @property
    def reranker(self) -> str:
        """The model as results and traces name it."""
        return f"{self.model}@{self.revision}"

    @classmethod
    def of(cls, spec: object) -> Self:
        """Return the key of a reranker, from its `RerankerSpec`."""
        return cls(**{name: getattr(spec, name) for name in cls.model_fields})


class PlattCurve(Record):
    """A logistic curve: relevance = 1 / (1 + exp(-(slope * raw + intercept))). It rises, so it keeps the order."""

    method: Literal["platt"] = "platt"
    slope: float = Field(gt=0.0, allow_inf_nan=False)
    intercept: float = Field(allow_inf_nan=False)

    def relevance(self, raw: float) -> float:
        """Return the relevance of one raw score.

        Raises:
            RelevanceMissing: If the score is not finite.
        """
        return sigmoid(self.slope * require_finite(raw) + self.intercept)


class IsotonicCurve(Record):
    """A curve through breakpoints, linear between them and level beyond them. It never falls, so it keeps the order.

    Attributes:
        breakpoints: Pairs of raw score and relevance; raw scores rise, relevance does not fall and rises in all.
    """

    method: Literal["isotonic"] = "isotonic"
    breakpoints: tuple[tuple[_Finite, _Chance], ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        for (raw, relevance), (next_raw, next_relevance) in pairwise(self.breakpoints):
            if not raw < next_raw:
                raise ValueError(f"raw scores of breakpoints must rise, and {next_raw} follows {raw}")
            if not relevance <= next_relevance:
                raise ValueError(f"relevance of breakpoints must not fall, and {next_relevance} follows {relevance}")
        if self.breakpoints[0][1] == self.breakpoints[-1][1]:
            raise ValueError("a curve that is level everywhere tells nothing")
        return self

    def relevance(self, raw: float) -> float:
        """Return the relevance of one raw score, never nearer to 0 or 1 than `CERTAINTY`.

        Raises:
            RelevanceMissing: If the score is not finite.
        """
        return min(max(self._between(require_finite(raw)), CERTAINTY), 1.0 - CERTAINTY)

    def _between(self, raw: float) -> float:
        after = bisect_right(self.breakpoints, raw, key=lambda point: point[0])
        if after in {0, len(self.breakpoints)}:
            return self.breakpoints[0 if after == 0 else -1][1]
        (low, below), (high, above) = self.breakpoints[after - 1], self.breakpoints[after]
        share = (raw - low) / (high - low)
        # Rounding may lead a hair outside, where the next piece of the curve would begin lower.
        return min(max(below + share * (above - below), below), above)


def _method_of(curve: Any) -> Any:
    """Artefacts of the first release have no method in their curves: these are Platt's."""
    return curve.get("method", "platt") if isinstance(curve, dict) else getattr(curve, "method", None)


Curve = Annotated[
    Annotated[PlattCurve, Tag("platt")] | Annotated[IsotonicCurve, Tag("isotonic")], Discriminator(_method_of)
]


class Canary(Record):
    """A pair in our own words whose raw score is known."""

    query: str
    passage: str
    raw_score: float = Field(allow_inf_nan=False)


class FitReport(Record):
    """What a calibration was fitted on, so that its promise can be judged.

    Attributes:
        slices: Name of each data slice and how many of its queries were used.
        log_loss: Of the pair curve, in nats, on queries that it was not fitted on.
        log_losses: The same for each method that was tried.
        query_log_losses: The same for the query-level curve; empty when there is none.
        queries_with_answer: How many queries had a relevant candidate, of those of which it is known.
        query_level: Why there is no query-level curve; empty when there is one.
        command: What made the artefact.
    """

    pairs: int
    relevant_pairs: int
    queries: int
    slices: dict[str, int] = Field(default_factory=dict)
    log_loss: float | None = None
    log_losses: dict[str, float] = Field(default_factory=dict)
    query_log_losses: dict[str, float] = Field(default_factory=dict)
    queries_with_answer: int = 0
    query_level: str = ""
    command: str = ""


class CalibrationArtefact(Versioned):
    """A calibration as a file or a store keeps it. Written once: another content has another id.

    Attributes:
        id: Names it in results and traces.
        curve: From a pair's raw score to the probability that the passage answers the query.
        query_level: From the best raw score of all candidates of a query to the probability that any of them answers;
            None when there were too few queries to fit it on.
    """

    id: str = Field(min_length=1)
    key: CalibrationKey
    curve: Curve
    query_level: Curve | None = None
    fitted_on: FitReport
    canaries: tuple[Canary, ...] = ()


class RerankerRecord(Versioned):
    """What a rerank worker says of its model, for those who calibrate without loading one.

    Attributes:
        name: What the settings call it, and queries that ask for it.
        canaries: The known pairs as this model scores them; none for a provider.
        calibration: The artefact that came with the model; None when it has none.
        trained_on: Names of the data sets whose train split trained it; empty where that is not known.
        published_at: Unix seconds.
    """

    name: str = ""
    key: CalibrationKey
    canaries: tuple[Canary, ...]
    calibration: CalibrationArtefact | None = None
    trained_on: tuple[str, ...] = ()
    published_at: float

    @property
    def storage_id(self) -> str:
        """The id under which it is kept: there is one record for each name and model."""
        return f"{self.name}:{self.key.reranker}" if self.name else self.key.reranker


def require_finite(raw: float) -> float:
    """Return a raw score that has a relevance.

    Raises:
        RelevanceMissing: If it is not finite.
    """
    if not math.isfinite(raw):
        raise RelevanceMissing(f"a raw score of {raw} has no relevance")
    return raw


def sigmoid(value: float) -> float:
    """Return 1 / (1 + exp(-value)) without overflow."""
    if value >= 0.0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)
