"""The transformer layers that all our models share, as weights and as an ONNX graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from second_opinion.training.onnx_graph import FUSED, Floats, Graph
from second_opinion.training.onnx_linear import WEIGHT_LIMIT, Affine, Precision, Product, linear, quantise_rows
from second_opinion.training.onnx_measured import Measured

SMALLEST_SPREAD: Final = 1e-3


@dataclass(frozen=True)
class Norm:
    """Gain and shift of a layer norm, both [width]."""

    gain: Floats
    shift: Floats

    @property
    def spread(self) -> Floats:
        """How wide each channel of the output is."""
        wide: Floats = np.maximum(np.abs(self.gain) + np.abs(self.shift) / 3, SMALLEST_SPREAD)
        return wide


@dataclass(frozen=True)
class LayerWeights:
    """One layer. `qkv` holds query, key and value side by side.

    Attributes:
        opening: Added to each head's attention between the two texts, [heads]; None where there is no such thing.
    """

    qkv: Affine
    mix: Affine
    mix_norm: Norm
    up: Affine
    down: Affine
    norm: Norm
    opening: Floats | None = None


@dataclass(frozen=True)
class EncoderWeights:
    """Embeddings and layers.

    Attributes:
        restarts: Whether the second text counts its positions from 0 again.
    """

    words: Floats
    positions: Floats
    sides: Floats
    norm: Norm
    layers: tuple[LayerWeights, ...]
    heads: int
    epsilon: float = 1e-12
    restarts: bool = False


@dataclass(frozen=True)
class Recipe:
    """How each product of a layer is computed; the default is what `docs/decisions` argues for.

    Attributes:
        looks_again: A reranker can compute pairs a second time in float32 (`second_look.py`).
        restores: Products are computed in float32, by the weights that the graph around has as integers.
        measured: What the inputs of the products look like over real texts, by product; empty where nobody looked.
    """

    qkv: Precision = Precision.PER_INPUT
    mix: Precision = Precision.PER_INPUT
    up: Precision = Precision.PER_INPUT
    down: Precision = Precision.PER_TOKEN
    smooth_up: bool = True
    small_words: bool = True
    weight_limit: int = WEIGHT_LIMIT
    looks_again: bool = False
    restores: bool = False
    measured: Mapping[str, Measured] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def exact(cls) -> "Recipe":
        """Return the recipe that keeps every weight in float32."""
        exact = Precision.FLOAT
        return cls(qkv=exact, mix=exact, up=exact, down=exact, smooth_up=False, small_words=False)

    def restored(self) -> "Recipe":
        """Return the recipe by which what this one computes in integers is computed in float32 beside it."""
        return replace(self, restores=True)


def encode(graph: Graph, states: str, weights: EncoderWeights, recipe: Recipe) -> str:
    """Add the layers over the embedded tokens `states`; return the last states [B, S, width]."""
    for number in range(len(weights.layers)):
        states = _layer(graph, states, number, weights, recipe)
    return states


def embed(graph: Graph, weights: EncoderWeights, recipe: Recipe) -> str:
    """Add the embeddings of `input_ids` and `token_type_ids`; return the first states [B, S, width]."""
    if recipe.small_words:
        integers, scales = quantise_rows(weights.words)
        rows = graph.cast(graph.add("Gather", graph.constant("words", integers), "input_ids"))
        words = graph.add("Mul", rows, graph.add("Gather", graph.constant("words.scales", scales), "input_ids"))
    else:
        words = graph.add("Gather", graph.constant("words", weights.words), "input_ids")
    sides = graph.add("Gather", graph.constant("sides", weights.sides), "token_type_ids")
    table = graph.constant("positions", weights.positions)
    places = graph.add("Gather", table, _places(graph, restarts=weights.restarts))
    summed = graph.add("Add", graph.add("Add", words, sides), places)
    return _normalise(graph, summed, "norm", weights.norm, weights.epsilon)


def _places(graph: Graph, *, restarts: bool) -> str:
    ones = graph.add("Add", graph.add("Mul", "input_ids", graph.constant("int0", np.array(0))), _int_one(graph))
    along = graph.constant("axis1", np.array(1))
    columns = graph.add("CumSum", ones, along, exclusive=1)
    if not restarts:
        return columns
    first = graph.add(
        "ReduceSum", graph.add("Sub", ones, "token_type_ids"), graph.constant("axes1", np.array([1])), keepdims=1
    )
    return graph.add("Sub", columns, graph.add("Mul", "token_type_ids", first))


def _int_one(graph: Graph) -> str:
    return graph.constant("int1", np.array(1))


def _layer(graph: Graph, states: str, number: int, weights: EncoderWeights, recipe: Recipe) -> str:
    layer, name = weights.layers[number], f"layer{number}"
    mixed = _attend(graph, states, number, weights, recipe)
    mixed = linear(graph, mixed, _product(f"{name}.mix", layer.mix, recipe.mix, recipe))
    states = _normalise(graph, graph.add("Add", states, mixed), f"{name}.mix_norm", layer.mix_norm, weights.epsilon)
    spread = layer.mix_norm.spread if recipe.smooth_up else None
    up = _product(f"{name}.up", layer.up, recipe.up, recipe, spread)
    down = _product(f"{name}.down", layer.down, recipe.down, recipe)
    lowered = linear(graph, graph.add("Gelu", linear(graph, states, up), domain=FUSED), down)
    return _normalise(graph, graph.add("Add", states, lowered), f"{name}.norm", layer.norm, weights.epsilon)


def _product(name: str, layer: Affine, precision: Precision, recipe: Recipe, spread: Floats | None = None) -> Product:
    measured = recipe.measured.get(name)
    if measured is not None and precision is Precision.PER_INPUT:
        spread = measured.spread
    if recipe.restores and precision is not Precision.FLOAT:
        precision = Precision.RESTORED
    return Product(name, layer, precision, spread, recipe.weight_limit, measured)


def _attend(graph: Graph, states: str, number: int, weights: EncoderWeights, recipe: Recipe) -> str:
    layer, name, width = weights.layers[number], f"layer{number}", weights.words.shape[1]
    joined = linear(graph, states, _product(f"{name}.qkv", layer.qkv, recipe.qkv, recipe))
    parts = graph.constant("qkv.parts", np.array([width] * 3))
    query, key, value = graph.add_many("Split", joined, parts, outputs=3, axis=-1)
    scale = float((width // weights.heads) ** -0.5)
    if layer.opening is not None:
        query, key = _open(graph, name, (query, key), layer.opening / np.float32(scale))
    return graph.add("MultiHeadAttention", query, key, value, domain=FUSED, num_heads=weights.heads, scale=scale)


def _open(graph: Graph, name: str, pair: tuple[str, str], opening: Floats) -> tuple[str, str]:
    """Give each head two more dimensions, whose product is its opening exactly where the sides differ.

    That is cheaper than a bias of [heads, S, S], and leaves the fast path of the attention open.
    """
    heads = len(opening)
    query, key = pair
    side = graph.add("Unsqueeze", graph.cast("token_type_ids"), graph.constant("axes23", np.array([2, 3])))
    other = graph.add("Sub", graph.constant("one", 1.0), side)
    here = graph.add("Concat", other, side, axis=3)
    there = graph.add("Concat", side, other, axis=3)
    amount = graph.constant(f"{name}.opening", opening.reshape(1, 1, heads, 1).astype(np.float32))
    spread = graph.add("Mul", here, amount)
    # The key's two dimensions are the same in every head.
    repeated = graph.add("Mul", there, graph.constant("heads.ones", np.ones((1, 1, heads, 1), np.float32)))
    split, merged = (
        graph.constant("heads.split", np.array([0, 0, heads, -1])),
        graph.constant("merge", np.array([0, 0, -1])),
    )
    widened = []
    for value, more in ((query, spread), (key, repeated)):
        apart = graph.add("Reshape", value, split)
        widened.append(graph.add("Reshape", graph.add("Concat", apart, more, axis=3), merged))
    return widened[0], widened[1]


def _normalise(graph: Graph, value: str, name: str, norm: Norm, epsilon: float) -> str:
    gain, shift = graph.constant(f"{name}.gain", norm.gain), graph.constant(f"{name}.shift", norm.shift)
    return graph.add("LayerNormalization", value, gain, shift, axis=-1, epsilon=epsilon)
