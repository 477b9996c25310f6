"""A model folder: `model.onnx`, `tokenizer.json` and the `manifest.json` that says what they are.

Both files are compared with the hashes in the manifest before anything is computed with them, because a wrong byte in
the weights changes every score without any other sign.
"""

import hashlib
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from second_opinion.pipeline.whole_files import write_whole
from second_opinion.schemas.base import Versioned
from second_opinion.schemas.calibration import Scale
from second_opinion.schemas.errors import ModelUnusable

MANIFEST_FILE: Final = "manifest.json"
MODEL_FILE: Final = "model.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
CALIBRATION_FILE: Final = "calibration.json"

ModelRole = Literal["embedder", "reranker"]
_HINT: Final = "Install second-opinion again, or export the model anew: python -m second_opinion.training.export"


class Manifest(Versioned):
    """What a model folder holds.

    Attributes:
        kind: Whether the model gives vectors or scores.
        model: Id of the model.
        revision: Hash of the weights it was exported from, so that a retrained model has another one.
        dtype: How its weights are kept, such as `int8-dynamic`.
        max_tokens: Longest input in tokens, special ones included; what is beyond is not read.
        max_query_tokens: Of these, the most that a query may take; the passage has the rest.
        dims: Length of the vectors of an embedder.
        scale: What the raw scores of a reranker are.
        computed_again: Raw scores, from and to, between which the model computes a pair once more in float32.
        trained_on: Names of the data sets whose train split trained it; empty where that is not known.
        model_sha256: Hash of `model.onnx`; likewise `tokenizer_sha256`.
    """

    kind: ModelRole
    model: str
    revision: str
    dtype: str
    max_tokens: int = Field(ge=8, le=8_192)
    max_query_tokens: int = Field(default=128, ge=1)
    dims: int | None = None
    scale: Scale | None = None
    computed_again: tuple[float, float] | None = None
    trained_on: tuple[str, ...] = ()
    model_sha256: str
    tokenizer_sha256: str
    source: str = ""
    licence: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.kind == "embedder" and self.dims is None:
            raise ValueError("an embedder needs dims")
        if self.kind == "reranker" and self.scale is None:
            raise ValueError("a reranker needs its scale")
        return self


def read_manifest(folder: Path, kind: ModelRole) -> Manifest:
    """Read the manifest of a model folder and check both files against it.

    Raises:
        ModelUnusable: If a file is missing, unreadable, not the one that the manifest describes, or of the other kind.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = Manifest.model_validate_json(_read(path))
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelUnusable(f"{path} is no model manifest: {where}: {first['msg']}", hint=_HINT) from problem
    if manifest.kind != kind:
        raise ModelUnusable(f"{folder} holds {manifest.model}, of kind {manifest.kind} and not {kind}", hint=_HINT)
    _compare(folder / MODEL_FILE, manifest.model_sha256)
    _compare(folder / TOKENIZER_FILE, manifest.tokenizer_sha256)
    return manifest


def save_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest of a model folder, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    write_whole(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2, exclude_none=True) + "\n")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise ModelUnusable(f"model file {path} cannot be read: {problem.strerror or problem}", hint=_HINT) from problem


def _compare(path: Path, expected: str) -> None:
    try:
        found = sha256_of(path)
    except OSError as problem:
        raise ModelUnusable(f"model file {path} cannot be read: {problem.strerror or problem}", hint=_HINT) from problem
    if found != expected:
        raise ModelUnusable(
            f"model file {path} is not the one its manifest describes (SHA-256 {found[:12]}, expected {expected[:12]})",
            hint=_HINT,
        )
