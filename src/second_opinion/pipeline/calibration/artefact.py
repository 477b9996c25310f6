"""Artefacts: read and written whole, named by what they say, and refused where they do not belong."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from second_opinion.pipeline.ports import Reranker, RerankerSpec
from second_opinion.pipeline.whole_files import write_whole
from second_opinion.schemas.calibration import CalibrationArtefact, CalibrationKey
from second_opinion.schemas.errors import CalibrationMismatch, ModelUnusable

CANARY_TOLERANCE: Final = 0.02
"""How far a canary's relevance may be from the recorded one: no verdict further than this from the floor can differ."""
REFIT_HINT: Final = "Fit a calibration for this model: python -m second_opinion.training.calibrate"
_ID_DIGITS: Final = 12


def load_artefact(path: Path) -> CalibrationArtefact:
    """Read a calibration file.

    Raises:
        ModelUnusable: If it cannot be read or is no calibration; the sentence names file and field.
    """
    try:
        return parse_artefact(path.read_bytes(), where=str(path))
    except OSError as problem:
        raise ModelUnusable(f"calibration {path} cannot be read: {problem.strerror or problem}") from problem


def parse_artefact(content: bytes | dict[str, Any], *, where: str) -> CalibrationArtefact:
    """Return the artefact that JSON or its fields hold.

    Args:
        content: The JSON, or what it was read into.
        where: What is read, for the sentence.

    Raises:
        ModelUnusable: If it is no calibration; the sentence names the first field that is wrong.
    """
    try:
        if isinstance(content, bytes):
            return CalibrationArtefact.model_validate_json(content)
        return CalibrationArtefact.model_validate(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        # A union's tag stands in the place of an error, but not in the artefact.
        field = ".".join(str(part) for part in first["loc"] if part not in {"platt", "isotonic"}) or "the file"
        raise ModelUnusable(f"{where} is no calibration: {field}: {first['msg']}") from problem


def save_artefact(artefact: CalibrationArtefact, path: Path) -> None:
    """Write a calibration file; whoever reads it meanwhile sees the old one whole or the new one whole.

    Raises:
        ModelUnusable: If it cannot be written; what was there is left as it was.
    """
    try:
        write_whole(path, artefact.model_dump_json(indent=2) + "\n")
    except OSError as problem:
        raise ModelUnusable(
            f"calibration {path} cannot be written: {problem.strerror or problem}", hint="Name a file in a folder."
        ) from problem


def named(artefact: CalibrationArtefact) -> CalibrationArtefact:
    """Return the artefact under the id that its curves have: method, revision, and a hash of curves and key.

    Results and traces compare relevances by this id, so two curves must never share one.
    """
    said = artefact.model_dump_json(include={"key", "curve", "query_level"})
    digest = sha256(said.encode()).hexdigest()[:_ID_DIGITS]
    return artefact.model_copy(update={"id": f"{artefact.curve.method}-{artefact.key.revision}-{digest}"})


def check_key(artefact: CalibrationArtefact, spec: RerankerSpec | CalibrationKey, *, hint: str = REFIT_HINT) -> None:
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
            f"calibration {artefact.id} belongs to another model: {'; '.join(differences)}", hint=hint
        )


def check_canaries(artefact: CalibrationArtefact, reranker: Reranker, *, hint: str | None = None) -> None:
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
                hint=hint or "Fit a calibration on this machine: python -m second_opinion.training.calibrate",
            )
