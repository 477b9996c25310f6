"""Models as the settings define them: a kind, a model, what that kind takes, and a name for each reranker."""

import json
import tomllib
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from second_opinion.schemas.collection import RerankerName
from second_opinion.schemas.errors import InvalidRequest

BUNDLED_NAME: Final = "bundled"
RerankerKind = Literal["onnx", "sentence-transformers", "cohere", "http", "tei"]
REMOTE: Final = frozenset({"cohere", "http", "tei"})


class RerankerDefinition(BaseModel):
    """One reranker of `OPINION_RERANKERS`.

    Attributes:
        kind: What runs or answers it.
        model: A folder, an id of the Hugging Face hub, or the provider's name of the model.
        options: What the kind takes besides: the fields of its adapter's options.
        secret: Name of the environment variable that holds the key; never the key itself.
        requests_per_minute: Most requests of all workers together, for providers.
        calibration: File with its calibration; for a folder the `calibration.json` in it, if there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: RerankerKind
    model: str = Field(min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)
    secret: str | None = None
    requests_per_minute: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    calibration: Path | None = None

    @property
    def is_remote(self) -> bool:
        """True when scoring means asking another server."""
        return self.kind in REMOTE


class EmbedderDefinition(BaseModel):
    """The bi-encoder of `OPINION_EMBEDDER`.

    Attributes:
        kind: What runs it.
        model: A folder, or an id of the Hugging Face hub.
        revision: What it is expected to be: workers that find another one refuse to start and name it. Callers, who do
            not load it, go by it.
        dims: Length of its vectors; of a model trained for it (Matryoshka), fewer than it gives.
        options: The further fields of the adapter's options, such as `query_prompt`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["sentence-transformers"]
    model: str = Field(min_length=1)
    revision: str
    dims: int = Field(ge=1, le=4_096)
    options: dict[str, Any] = Field(default_factory=dict)


_DEFINITIONS: Final = TypeAdapter(dict[RerankerName, RerankerDefinition])


def read_definitions(setting: str, *, bundled: str) -> dict[str, RerankerDefinition]:
    """Return the rerankers by name; the one that comes with the package is always among them.

    Args:
        setting: JSON, or the path of a `.json` or `.toml` file with the same in it.
        bundled: The model folder of the reranker `bundled`.

    Raises:
        InvalidRequest: If it cannot be read; the sentence names the field.
    """
    known = {BUNDLED_NAME: RerankerDefinition(kind="onnx", model=bundled)}
    if not setting.strip():
        return known
    try:
        return {**known, **_DEFINITIONS.validate_python(_parsed(setting.strip(), "OPINION_RERANKERS", _HINT))}
    except ValidationError as problem:
        # Without what was given: a key may stand where its name belongs.
        fields = [f"{'.'.join(map(str, error['loc'])) or 'all'}: {error['msg']}" for error in problem.errors()]
        raise InvalidRequest(f"OPINION_RERANKERS: {'; '.join(fields)}", hint=_HINT) from None


def read_embedder(setting: str) -> EmbedderDefinition | None:
    """Return the bi-encoder that a setting defines; None when it is empty.

    Args:
        setting: JSON, or the path of a `.json` or `.toml` file with the same in it.

    Raises:
        InvalidRequest: If it cannot be read; the sentence names the field.
    """
    if not setting.strip():
        return None
    try:
        return EmbedderDefinition.model_validate(_parsed(setting.strip(), "OPINION_EMBEDDER", _EMBEDDER_HINT))
    except ValidationError as problem:
        told = [f"{'.'.join(map(str, error['loc'])) or 'all'}: {error['msg']}" for error in problem.errors()]
        raise InvalidRequest(f"OPINION_EMBEDDER: {'; '.join(told)}", hint=_EMBEDDER_HINT) from None


_EMBEDDER_HINT: Final = (
    'Give {"kind": "sentence-transformers", "model": "...", "revision": "...", "dims": 384}, or the path of a .json or '
    ".toml file."
)
_HINT: Final = (
    'Give names with their definitions: {"mine": {"kind": "sentence-transformers", "model": "..."}}, or the path of a '
    ".json or .toml file."
)


def _parsed(setting: str, name: str, hint: str) -> Any:
    try:
        if setting.startswith("{"):
            return json.loads(setting)
        text = Path(setting).expanduser().read_text(encoding="utf-8")
        return tomllib.loads(text) if setting.endswith(".toml") else json.loads(text)
    except (OSError, ValueError) as problem:
        raise InvalidRequest(f"{name} cannot be read: {problem}", hint=hint) from None
