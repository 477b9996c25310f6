"""A second look: pairs near the floors that people choose are computed once more, in float32, by the same file.

Products of 8-bit integers put a relevance off by a hundredth, and a passage as near to the floor as that may fall on
the other side than by float32. Most candidates are far from any floor. So the graph computes the logit in integers, and
only where that lies within a band, once more from the embedded tokens on, by weights of nearly 16 bits. Whether it does
depends on nothing but the pair, so a pair has one score.
"""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from second_opinion.pipeline.adapters.onnx_model import MANIFEST_FILE, MODEL_FILE, Manifest, save_manifest, sha256_of
from second_opinion.pipeline.calibration.fit import AnyCurve
from second_opinion.pipeline.whole_files import whole_file
from second_opinion.training.onnx_encoder import Recipe, encode
from second_opinion.training.onnx_graph import Graph
from second_opinion.training.sources import Source

RELEVANCE: Final = (0.15, 0.65)
"""Floors are chosen from 0.2 to 0.6; integers put few relevances off by more than the 0.05 that are added."""
_EDGES: Final = ("second_look.from", "second_look.to")
_NOWHERE: Final = (float("inf"), float("-inf"))
_PLACE: Final = "second_look/"
_FAR: Final = 64.0
_HALVINGS: Final = 60


def look_again(graph: Graph, embedded: str, logit: str, source: Source, recipe: Recipe) -> str:
    """Add the second look after the first one's `logit` [B]; return the logits [B] that both make.

    The band is empty until `open_band` says where it lies, which a calibration tells.
    """
    low, high = (graph.constant(name, edge) for name, edge in zip(_EDGES, _NOWHERE, strict=True))
    within = graph.add("And", graph.add("GreaterOrEqual", logit, low), graph.add("LessOrEqual", logit, high))
    needed = graph.cast(graph.add("ReduceMax", graph.cast(within, TensorProto.INT32), keepdims=0), TensorProto.BOOL)
    branch = Graph(graph, _PLACE)
    exact = source.head(branch, encode(branch, embedded, source.encoder, recipe.restored()))
    return graph.either(needed, branch, branch.add("Where", within, exact, logit), logit, ["batch"])


def can_be_opened(folder: Path) -> bool:
    """Tell whether the model in a folder has a second look whose band is still empty."""
    edges = [one for one in _load(folder).graph.initializer if one.name in _EDGES]
    return bool(edges) and not np.isfinite([numpy_helper.to_array(one) for one in edges]).any()


def open_band(folder: Path, curve: AnyCurve) -> tuple[float, float]:
    """Let pairs be computed again whose relevance by a curve is in `RELEVANCE`; return the band of raw scores.

    The model file and its hash in the manifest are other ones afterwards.
    """
    low, high = (_raw_score_of(relevance, curve) for relevance in RELEVANCE)
    model = _load(folder)
    for tensor in model.graph.initializer:
        if tensor.name in _EDGES:
            edge = low if tensor.name == _EDGES[0] else high
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(edge, np.float32), tensor.name))
    with whole_file(folder / MODEL_FILE) as draft:
        onnx.save(model, str(draft))
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
    changed = {"computed_again": (low, high), "model_sha256": sha256_of(folder / MODEL_FILE)}
    save_manifest(manifest.model_copy(update=changed), folder)
    return low, high


def _load(folder: Path) -> onnx.ModelProto:
    return onnx.load(str(folder / MODEL_FILE))


def _raw_score_of(relevance: float, curve: AnyCurve) -> float:
    """Return the least raw score of that relevance, to far more digits than matter."""
    low, high = -_FAR, _FAR
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if curve.relevance(middle) >= relevance else (middle, high)
    return float(np.float32(high))
