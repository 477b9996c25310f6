"""Opening the rerankers that the settings name, each with the calibration that belongs to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from redis import Redis

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.redis.breakers import RedisBreaker, RedisRateLimit
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.usage import RedisUsage
from second_opinion.pipeline.calibration import (
    FittedCalibration,
    NoCalibration,
    calibration_for,
    check_key,
    load_artefact,
    score_canaries,
)
from second_opinion.pipeline.guarded_reranker import GuardedReranker, RateAdmission
from second_opinion.pipeline.ports import Admission, Breaker, RateLimit, Reranker, UsageBook
from second_opinion.schemas.calibration import CalibrationKey, RerankerRecord
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.workers.clock import SystemClock
from second_opinion.workers.definitions import BUNDLED_NAME, RerankerDefinition
from second_opinion.workers.settings import Settings

if TYPE_CHECKING:
    from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker

CALIBRATION_FILE: Final = "calibration.json"
BREAKER_TIMEOUT: Final = 1.0
"""Seconds that asking a breaker may take: a call to a provider waits for it."""
OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True, slots=True)
class OpenedReranker:
    """A reranker as a worker serves it.

    Attributes:
        reranker: Behind its circuit breaker, if it is a remote one.
        calibration: What came with it, checked.
    """

    name: str
    reranker: Reranker
    calibration: FittedCalibration | NoCalibration
    is_remote: bool

    def record(self, *, at: float) -> RerankerRecord:
        """Return what a worker says of it; a remote one is not asked for the known pairs, which would cost."""
        return RerankerRecord(
            name=self.name,
            key=CalibrationKey.of(self.reranker.spec),
            canaries=() if self.is_remote else score_canaries(self.reranker),
            calibration=self.calibration.artefact if isinstance(self.calibration, FittedCalibration) else None,
            trained_on=self.reranker.spec.trained_on,
            published_at=at,
        )


@dataclass(frozen=True, slots=True)
class LocalReranker:
    """A reranker of this process alone: it asks no other server, and loads no torch."""

    name: str
    reranker: "OnnxReranker"
    calibration: FittedCalibration | NoCalibration

    def close(self) -> None:
        """End its runners."""
        self.reranker.close()


def open_breaker(settings: Settings) -> RedisBreaker:
    """Return the circuit breakers that all workers share."""
    return RedisBreaker(
        _impatient(settings),
        clock=SystemClock(),
        threshold=settings.breaker_threshold,
        cool_down=settings.breaker_cool_down,
        namespace=settings.index_prefix,
    )


def open_rate_limit(settings: Settings) -> RedisRateLimit:
    """Return the rate limits that all workers share."""
    return RedisRateLimit(_impatient(settings), clock=SystemClock(), namespace=settings.index_prefix)


def open_usage(settings: Settings) -> RedisUsage:
    """Return the book of what rerankers cost, which all workers share."""
    return RedisUsage(_impatient(settings), clock=SystemClock(), namespace=settings.index_prefix)


def _impatient(settings: Settings) -> Redis:
    return connect(settings.jobs_url.get_secret_value(), timeout=min(settings.redis_timeout, BREAKER_TIMEOUT))


@dataclass(frozen=True, slots=True)
class SharedLimits:
    """What all workers share of the providers.

    Attributes:
        book: Where their cost is kept; None where it is not.
    """

    breaker: Breaker
    limit: RateLimit
    book: UsageBook | None = None


def open_limits(settings: Settings) -> SharedLimits:
    """Return what all workers share."""
    return SharedLimits(open_breaker(settings), open_rate_limit(settings), open_usage(settings))


def open_rerankers(settings: Settings) -> list[OpenedReranker]:
    """Return the rerankers that a worker is told to serve, in their order.

    Raises:
        InvalidRequest: If one is not defined, or its options are not those of its kind.
        ModelUnusable: If a model cannot be used, or its calibration belongs to another one.
        ExtraMissing: If a kind needs a part of the package that is not installed.
    """
    definitions, limits = settings.reranker_definitions(), open_limits(settings)
    return [open_reranker(name, definitions[name], settings, limits) for name in settings.served_rerankers()]


def open_local_rerankers(settings: Settings) -> list[LocalReranker]:
    """Return those rerankers of the settings that run on ONNX Runtime, in their order; the bundled one if none does.

    Raises:
        OpinionError: As `open_rerankers` does.
    """
    definitions = settings.reranker_definitions()
    names = [name for name in settings.served_rerankers() if definitions[name].kind == "onnx"] or [BUNDLED_NAME]
    return [_open_local(name, definitions[name], settings) for name in names]


def _open_local(name: str, definition: RerankerDefinition, settings: Settings) -> LocalReranker:
    reranker = _open_onnx(name, definition, settings)
    path = definition.calibration or _beside(definition)
    found = calibration_for(reranker, path) if path else NoCalibration(reranker.spec.scale)
    return LocalReranker(name, reranker, found)


def open_reranker(
    name: str, definition: RerankerDefinition, settings: Settings, limits: SharedLimits
) -> OpenedReranker:
    """Return one reranker.

    Raises:
        OpinionError: As `open_rerankers` does.
    """
    reranker = _KINDS[definition.kind](name, definition, settings, limits.limit)
    path = definition.calibration or _beside(definition)
    if not definition.is_remote:
        found = calibration_for(reranker, path) if path else NoCalibration(reranker.spec.scale)
        return OpenedReranker(name, reranker, found, is_remote=False)
    calibration: FittedCalibration | NoCalibration = NoCalibration(reranker.spec.scale)
    if path is not None:
        artefact = load_artefact(path)
        check_key(artefact, reranker.spec)
        calibration = FittedCalibration(artefact, CalibrationSource.SHIPPED)
    guarded = GuardedReranker(reranker, name, limits.breaker, limits.book)
    return OpenedReranker(name, guarded, calibration, is_remote=True)


def _beside(definition: RerankerDefinition) -> Path | None:
    if definition.is_remote:
        return None
    path = model_folder(definition.model, "reranker") / CALIBRATION_FILE
    return path if path.exists() else None


def _onnx(name: str, definition: RerankerDefinition, settings: Settings, _limit: RateLimit) -> Reranker:
    return _open_onnx(name, definition, settings)


def _open_onnx(name: str, definition: RerankerDefinition, settings: Settings) -> "OnnxReranker":
    from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker

    _known(name, definition.options, {"threads"})
    threads = int(definition.options.get("threads", settings.model_threads))
    return OnnxReranker(model_folder(definition.model, "reranker"), threads=threads)


def _sentence_transformers(
    name: str, definition: RerankerDefinition, _settings: Settings, _limit: RateLimit
) -> Reranker:
    from second_opinion.pipeline.adapters.torch_reranker import TorchReranker, TorchRerankerOptions

    return TorchReranker.open(_options(TorchRerankerOptions, name, definition))


def _cohere(name: str, definition: RerankerDefinition, settings: Settings, limit: RateLimit) -> Reranker:
    from second_opinion.pipeline.adapters.cohere_reranker import CohereOptions, CohereReranker

    options = _options(CohereOptions, name, definition, api_key=settings.secret(definition.secret))
    return CohereReranker.open(options, **_admission(name, definition, limit))


def _http(name: str, definition: RerankerDefinition, settings: Settings, limit: RateLimit) -> Reranker:
    from second_opinion.pipeline.adapters.http_reranker import HttpOptions, HttpReranker

    contract = "tei" if definition.kind == "tei" else "cohere"
    key = settings.secret(definition.secret)
    options = _options(HttpOptions, name, definition, api_key=key, contract=contract)
    return HttpReranker.open(options, **_admission(name, definition, limit))


_KINDS: Final[Mapping[str, Callable[[str, RerankerDefinition, Settings, RateLimit], Reranker]]] = {
    "onnx": _onnx,
    "sentence-transformers": _sentence_transformers,
    "cohere": _cohere,
    "http": _http,
    "tei": _http,
}


def _admission(name: str, definition: RerankerDefinition, limit: RateLimit) -> dict[str, Admission]:
    per_minute = definition.requests_per_minute
    return {} if per_minute is None else {"admit": RateAdmission(limit, name, per_minute, clock=SystemClock())}


def _options(kind: type[OptionsT], name: str, definition: RerankerDefinition, **more: Any) -> OptionsT:
    takes = {field.name for field in fields(kind)} - {"model", "api_key", "contract"}  # type: ignore[arg-type]
    _known(name, definition.options, takes)
    try:
        return TypeAdapter(kind).validate_python({"model": definition.model, **definition.options, **more})
    except ValidationError as problem:
        found = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in problem.errors()]
        raise InvalidRequest(f"reranker {name!r}: {'; '.join(found)}", hint=_HINT) from None


def _known(name: str, options: Mapping[str, Any], takes: set[str]) -> None:
    strange = sorted(set(options) - takes)
    if strange:
        told = f"reranker {name!r} has no option {', '.join(strange)} (known: {', '.join(sorted(takes))})"
        raise InvalidRequest(told, hint=_HINT)


_HINT: Final = "Correct the options of this reranker in OPINION_RERANKERS."
