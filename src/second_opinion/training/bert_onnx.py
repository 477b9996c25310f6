"""Takes a BERT bi-encoder out of an ONNX export, the form in which many travel, so that training can start from it."""

import json
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import BadZipFile, ZipFile

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save_file

from second_opinion.schemas.errors import ModelUnusable
from second_opinion.training.guidance import GUIDE_FILE, Habits

_NEEDED: Final = ("embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight")


def take_in(archive: Path, folder: Path, habits: Habits) -> None:
    """Write the bi-encoder in `archive`, a zip or jar with one .onnx and one tokenizer.json, as a folder to train from.

    Raises:
        ModelUnusable: If there is no BERT encoder in float32 in it.
    """
    try:
        with ZipFile(archive) as packed:
            model = packed.read(_only(packed, ".onnx"))
            tokenizer = packed.read(_only(packed, "tokenizer.json"))
    except (OSError, BadZipFile, KeyError) as problem:
        raise ModelUnusable(f"{archive} cannot be read as a zip archive with a model in it: {problem}") from problem
    weights = weights_in(onnx.load(BytesIO(model)))
    if not all(name in weights for name in _NEEDED):
        raise ModelUnusable(f"{archive} holds no BERT encoder in float32")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, str(folder / "model.safetensors"))
    (folder / "tokenizer.json").write_bytes(tokenizer)
    (folder / GUIDE_FILE).write_text(json.dumps(asdict(habits), indent=2) + "\n", encoding="utf-8")


def weights_in(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Return the weights by their names in Hugging Face's BERT.

    PyTorch's exporter keeps the names of all but the matrices, which it stores transposed and under a number; the
    product that uses one still carries its module's path.
    """
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    weights = {name: array for name, array in stored.items() if not name.startswith("onnx::")}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:
            module = ".".join(node.name.strip("/").split("/")[:-1])
            weights[f"{module}.weight"] = stored[node.input[1]].T
    return {
        name: np.ascontiguousarray(array, np.float32) for name, array in weights.items() if array.dtype == np.float32
    }


def _only(packed: ZipFile, ending: str) -> str:
    names = [name for name in packed.namelist() if name.endswith(ending)]
    if len(names) != 1:
        raise KeyError(f"{len(names)} files end in {ending}, not one")
    return names[0]
