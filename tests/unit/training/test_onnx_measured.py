"""Quantising by what inputs look like: closer products, and nothing else changed."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from second_opinion.pipeline.adapters.onnx_tokens import ModelInput
from second_opinion.training.onnx_graph import Floats, Graph
from second_opinion.training.onnx_linear import Affine, Precision, Product, linear, quantise_columns
from second_opinion.training.onnx_measured import Measured, measure

WIDTH, OUTPUTS, TOKENS = 32, 24, 400


@pytest.fixture
def inputs() -> Floats:
    """States as layers have them: channels that go together, and one that is far wider than the others."""
    chance = np.random.default_rng(3)
    mixed = chance.normal(size=(TOKENS, 12)) @ chance.normal(size=(12, WIDTH)) + chance.normal(size=(TOKENS, WIDTH)) / 9
    mixed[:, 5] *= 25
    return mixed.astype(np.float32)


@pytest.fixture
def layer() -> Affine:
    """A linear layer."""
    chance = np.random.default_rng(4)
    return Affine(chance.normal(size=(WIDTH, OUTPUTS)).astype(np.float32), np.zeros(OUTPUTS, np.float32))


def measured(inputs: Floats) -> Measured:
    return Measured(np.abs(inputs).max(axis=0), inputs.T.astype(np.float64) @ inputs / len(inputs))


def computed(folder: Path, inputs: Floats, product: Product) -> Floats:
    """Return what ONNX Runtime makes of a product; the inputs come in through a table of words."""
    graph = Graph()
    states = graph.add("Gather", graph.constant("words", inputs), "input_ids")
    zero = graph.add("Mul", graph.cast("token_type_ids"), graph.constant("zero", 0.0))
    states = graph.add("Add", states, graph.add("Unsqueeze", zero, graph.constant("axes2", np.array([2]))))
    graph.save(folder / "model.onnx", linear(graph, states, product), "out", ["batch", "tokens", OUTPUTS])
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    ids = np.arange(len(inputs), dtype=np.int64)[None]
    found: Floats = session.run(None, {"input_ids": ids, "token_type_ids": np.zeros_like(ids)})[0][0]
    return found


def test_a_wide_channel_no_longer_costs_the_others_their_steps(tmp_path: Path, inputs: Floats, layer: Affine) -> None:
    """With one scale for the whole input, evening the channels out brings the product several times closer."""
    exact = inputs @ layer.weight
    known = measured(inputs)
    plain = Product("plain", layer, Precision.PER_INPUT)
    even = Product("even", layer, Precision.PER_INPUT, known.spread, measured=known)
    errors = [float(np.square(computed(tmp_path, inputs, one) - exact).mean()) for one in (plain, even)]
    assert errors[1] < errors[0] / 4


def test_rounding_errors_make_up_for_each_other(inputs: Floats, layer: Affine) -> None:
    """On inputs whose channels go together, what is multiplied is nearer than with each weight rounded by itself."""
    exact = inputs @ layer.weight

    def error(moments: np.ndarray | None) -> float:
        integers, scales = quantise_columns(layer.weight, 64, moments)
        assert np.abs(integers).max() <= 64
        return float(np.square(inputs @ (integers * scales) - exact).mean())

    assert error(measured(inputs).moments) < error(None) / 2


def test_what_goes_into_a_product_is_measured(tmp_path: Path, inputs: Floats, layer: Affine) -> None:
    """Widths are the mean of each text's largest values; moments are over all tokens."""
    computed(tmp_path, inputs, Product("layer0.up", layer, Precision.FLOAT))
    texts = [np.arange(100), np.arange(100, TOKENS)]
    given = [
        ModelInput(one[None].astype(np.int64), np.zeros((1, len(one)), np.int64), truncated=False) for one in texts
    ]
    found = measure((tmp_path / "model.onnx").read_bytes(), given)
    assert set(found) == {"layer0.up"}
    assert found["layer0.up"].width == pytest.approx(
        (np.abs(inputs[:100]).max(0) + np.abs(inputs[100:]).max(0)) / 2, rel=1e-5
    )
    assert found["layer0.up"].moments == pytest.approx(measured(inputs).moments, rel=1e-3, abs=1e-3)
