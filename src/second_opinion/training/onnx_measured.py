"""What the inputs of a model's products look like over real texts, so that quantising costs least where they lie.

Two things are made of it. Channels are made equally wide before one scale is taken over all of them (Xiao et al.,
"SmoothQuant", 2023), and each weight's rounding error is made up for by the weights that are rounded after it (Frantar
et al., "GPTQ", 2023). Both are settled at export: the model is as fast as without.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from second_opinion.pipeline.adapters.onnx_tokens import ModelInput
from second_opinion.training.onnx_graph import Floats

EVENING: Final = 0.7
"""How far channels are made equally wide: 0 leaves them, 1 makes them all as wide as the widest."""
SMALLEST: Final = 1e-3
DAMPING: Final = 0.01
"""Share of the mean second moment that is added to each channel's, so that none counts as known exactly."""
Moments = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The input of one product.

    Attributes:
        width: How far each channel goes from 0 in a text, on average over the texts, [inputs].
        moments: Mean of the products of any two channels, [inputs, inputs].
    """

    width: Floats
    moments: Moments

    @property
    def spread(self) -> Floats:
        """What each channel is to be divided by, [inputs], around 1."""
        spread = np.maximum(self.width, SMALLEST) ** EVENING
        even: Floats = (spread / np.median(spread)).astype(np.float32)
        return even


def measure(model: bytes, inputs: Sequence[ModelInput]) -> dict[str, Measured]:
    """Return what goes into each product of a float32 model, by the product's name.

    Args:
        model: An ONNX model whose products take constants called `NAME.weight`.
        inputs: What it is to read; a hundred pairs of the kind that it is made for will do.
    """
    graph = onnx.load_from_string(model)
    wanted = {node.input[1].removesuffix(".weight"): node.input[0] for node in graph.graph.node if _is_product(node)}
    for value in sorted(set(wanted.values())):
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(value))
    options = onnxruntime.SessionOptions()
    # Fusions would compute past the values that are looked at.
    options.intra_op_num_threads = 1  # Sums in one order: the same texts give the same file.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = list(dict.fromkeys(wanted.values()))
    widths: dict[str, Any] = dict.fromkeys(values, 0.0)
    sums: dict[str, Any] = dict.fromkeys(values, 0.0)
    for given in inputs:
        found = session.run(values, {"input_ids": given.ids, "token_type_ids": given.types})
        for value, array in zip(values, found, strict=True):
            rows = array.reshape(-1, array.shape[-1])
            widths[value] += np.abs(rows).max(axis=0)
            sums[value] += (rows.T @ rows).astype(np.float64)
    tokens = sum(given.ids.size for given in inputs)
    return {name: Measured(widths[value] / len(inputs), sums[value] / tokens) for name, value in wanted.items()}


def _is_product(node: Any) -> bool:
    return node.op_type == "MatMul" and re.fullmatch(r"layer\d+\.\w+\.weight", node.input[1]) is not None


def rounded(weight: Floats, scales: Floats, limit: int, moments: Moments) -> NDArray[np.int8]:
    """Return integers so that `x @ (integers * scales)` is close to `x @ weight` for inputs of these moments.

    Input by input, the error of rounding is spread over the inputs that are still to be rounded, as far as they go
    along with this one.
    """
    left = weight.astype(np.float64)
    damped = moments + np.eye(len(moments)) * DAMPING * np.diag(moments).mean()
    # Row i of this factor says how inputs after i make up for an error in i, given those before it are settled.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    integers = np.zeros(weight.shape, np.int8)
    for row in range(len(left)):
        integers[row] = np.clip(np.rint(left[row] / scales), -limit, limit)
        error = (left[row] - integers[row] * scales) / factor[row, row]
        left[row + 1 :] -= np.outer(factor[row, row + 1 :], error)
    return integers
