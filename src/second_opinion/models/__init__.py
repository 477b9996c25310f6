"""The bundled models: a bi-encoder and a cross-encoder, each a folder with weights, tokenizer, manifest and card."""

from pathlib import Path
from typing import Final, Literal

BUNDLED: Final = "bundled"

ModelKind = Literal["embedder", "reranker"]


def model_folder(setting: str, kind: ModelKind) -> Path:
    """Return the folder that a model setting names: `bundled`, or the path of an exported model."""
    if setting == BUNDLED:
        return Path(__file__).resolve().parent / kind
    return Path(setting).expanduser()
