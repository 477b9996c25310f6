"""Linear layers in 8-bit integers, quantised where it costs least.

Weights have one scale an output column. Processors without VNNI saturate at 16 bits inside a product of 8-bit integers;
the engine has them multiply in another way, so that the same model scores the same there. Inputs are quantised at run
time, in one of two ways: with one scale for the whole input, or with one for each token, which is what the second half
of a feed-forward layer needs.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from second_opinion.training.onnx_graph import FUSED, Floats, Graph
from second_opinion.training.onnx_measured import Measured, Moments, rounded

WEIGHT_LIMIT: Final = 127
ZERO_POINT: Final = 24
GELU_MINIMUM: Final = 0.1701
"""GELU never goes below -0.17: so little is kept free below the zero point."""


class Precision(StrEnum):
    """How a product is computed."""

    FLOAT = "float"
    PER_INPUT = "per-input"
    PER_TOKEN = "per-token"  # noqa: S105 - a scale for each token, no secret
    RESTORED = "restored"  # In float32, by weights that the graph around has as integers.


@dataclass(frozen=True)
class Affine:
    """Weights [inputs, outputs] and bias [outputs]."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class Product:
    """A linear layer as it is to be computed.

    Attributes:
        spread: How wide each input channel is, [inputs], all above 0: the channels are then made equally wide before
            they are quantised, and the weights wider in return. None leaves the input as it is.
        limit: The largest integer of a weight.
        measured: What its input looks like over real texts, where that is known.
    """

    name: str
    layer: Affine
    precision: Precision
    spread: Floats | None = None
    limit: int = WEIGHT_LIMIT
    measured: Measured | None = None


def quantise_columns(
    weight: Floats, limit: int = WEIGHT_LIMIT, moments: Moments | None = None
) -> tuple[NDArray[np.int8], Floats]:
    """Return integers and one scale a column, so that `integers * scales` is close to `weight`.

    Where the moments of the inputs are known, it is what they are multiplied to that is kept close.
    """
    scales = np.abs(weight).max(axis=0) / limit
    scales[scales == 0] = 1.0
    if moments is not None:
        return rounded(weight, scales, limit, moments), scales.astype(np.float32)
    return np.rint(weight / scales).astype(np.int8), scales.astype(np.float32)


def quantise_rows(table: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return integers and one scale a row [rows, 1]: for tables that are looked up, not multiplied."""
    scales = np.abs(table).max(axis=1, keepdims=True) / 127
    scales[scales == 0] = 1.0
    return np.rint(table / scales).astype(np.int8), scales.astype(np.float32)


def linear(graph: Graph, value: str, product: Product) -> str:
    """Add `value @ weight + bias`. PER_TOKEN expects the output of a GELU."""
    layer, name = product.layer, product.name
    moments = None if product.measured is None else product.measured.moments
    if product.spread is not None:
        widths = (product.spread / np.median(product.spread)).astype(np.float32)
        value = graph.add("Mul", value, graph.constant(f"{name}.narrowing", 1 / widths))
        layer = Affine(layer.weight * widths[:, None], layer.bias)
        moments = None if moments is None else moments / np.outer(widths, widths)
    bias = graph.constant(f"{name}.bias", layer.bias)
    if product.precision is Precision.FLOAT:
        return graph.add("Add", graph.add("MatMul", value, graph.constant(f"{name}.weight", layer.weight)), bias)
    if product.precision is Precision.RESTORED:
        return graph.add("Add", graph.add("MatMul", value, _restored(graph, name, layer.weight)), bias)
    integers, scales = quantise_columns(layer.weight, product.limit, moments)
    weight, columns = graph.constant(f"{name}.integers", integers), graph.constant(f"{name}.scales", scales)
    if product.precision is Precision.PER_INPUT:
        return graph.add("DynamicQuantizeMatMul", value, weight, columns, "", bias, domain=FUSED)
    zero = graph.constant("gelu.zero", np.array(ZERO_POINT, np.uint8))
    tokens = _token_scales(graph, value)
    scaled = graph.add("Mul", value, graph.add("Reciprocal", tokens))
    rounded = graph.add("QuantizeLinear", scaled, graph.constant("one", 1.0), zero)
    exact = graph.cast(graph.add("MatMulInteger", rounded, weight, zero))
    return graph.add("Add", graph.add("Mul", graph.add("Mul", exact, columns), tokens), bias)


def _restored(graph: Graph, name: str, weight: Floats) -> str:
    """Return the weights as the sum of their integers and of what rounding left, in integers too: near 16 bits.

    They are added up anew in each run: kept, they would take four times the memory of all the rest of the model. The
    runtime computes most constants once, when the model is loaded, but not those that come out of DequantizeLinear.
    """
    integers, scales = f"{name}.integers", f"{name}.scales"
    rest, finer = quantise_columns(weight - graph.array(integers) * graph.array(scales))
    left, steps = graph.constant(f"{name}.rest", rest), graph.constant(f"{name}.rest.scales", finer)
    coarse, fine = (graph.add("Mul", graph.cast(whole), scale) for whole, scale in ((integers, scales), (left, steps)))
    return graph.add("Add", coarse, fine)


def _token_scales(graph: Graph, value: str) -> str:
    largest = graph.add("ReduceMax", value, axes=[-1], keepdims=1)
    needed = graph.add("Mul", largest, graph.constant("gelu.step", 1.0 / (255 - ZERO_POINT)))
    return graph.add("Max", needed, graph.constant("gelu.least", GELU_MINIMUM / ZERO_POINT))
