"""Pairs near the floor are computed once more in float32, by the same file; all others are scored as before."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from second_opinion.pipeline.adapters.onnx_model import read_manifest
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.schemas.calibration import IsotonicCurve, PlattCurve
from second_opinion.training.export import Label, export
from second_opinion.training.onnx_encoder import Recipe
from second_opinion.training.second_look import RELEVANCE, can_be_opened, open_band
from second_opinion.training.sources import read_source
from tests.unit.training.conftest import PAIRS

MORE = [(query, f"{passage} {word}") for query, passage in PAIRS for word in ("tube", "milligrams", "rain")]
COARSE = Recipe(looks_again=True, weight_limit=24, small_words=False)
"""Weights so coarse that every score shows whether it was computed again; word embeddings are not."""


def scored(folder: Path) -> NDArray[np.float64]:
    reranker = OnnxReranker(folder, threads=1)
    found = [reranker.score(query, [passage])[0] for query, passage in MORE]
    reranker.close()
    return np.array(found)


def curve_with_band(low: float, high: float) -> PlattCurve:
    """The logistic curve by which these raw scores have the relevances between which is looked again."""
    wanted = np.log(np.array(RELEVANCE) / (1 - np.array(RELEVANCE)))
    slope = float((wanted[1] - wanted[0]) / (high - low))
    return PlattCurve(slope=slope, intercept=float(wanted[0] - slope * low))


@pytest.mark.parametrize("kind", ["own", "bert"])
@pytest.mark.parametrize("measured", [False, True], ids=["plain", "measured"])
def test_only_pairs_in_the_band_are_computed_again(
    kind: str, measured: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """They score as PyTorch does in float32; the others, to the last bit, as the integers have it."""
    source = read_source(request.getfixturevalue(kind))
    exact = np.array(source.reference(MORE), dtype=np.float64)
    export(source, tmp_path, Label("test"), COARSE, PAIRS if measured else ())
    integers = scored(tmp_path)
    assert np.abs(integers - exact).min() > 1e-4, "the integers must be off everywhere, or this test shows nothing"
    ordered = np.sort(integers)
    low, high = ordered[2:4].mean(), ordered[-4:-2].mean()
    band = open_band(tmp_path, curve_with_band(float(low), float(high)))
    assert band == pytest.approx((low, high), abs=1e-5)
    assert read_manifest(tmp_path, "reranker").computed_again == band

    found, within = scored(tmp_path), (integers >= low) & (integers <= high)
    assert 4 < within.sum() < len(MORE) - 4
    assert found[~within].tolist() == integers[~within].tolist()
    assert np.abs(found - exact)[within].max() < np.abs(integers - exact)[within].max() / 20


def test_a_batch_looks_again_where_one_needs_it(own: Path, tmp_path: Path) -> None:
    """Whoever runs the file on many pairs at once has the same rule for each of them."""
    export(read_source(own), tmp_path, Label("test"), COARSE)
    integers = scored(tmp_path)
    middle = float(np.median(integers))
    open_band(tmp_path, curve_with_band(middle, 1e3))
    reranker = OnnxReranker(tmp_path, threads=1)
    query, passage = MORE[0]
    given = reranker.tokenizer.pair(reranker.tokenizer.query(query), passage)
    reranker.close()
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    ids = np.concatenate([given.ids, given.ids])
    (both,) = session.run(None, {"input_ids": ids, "token_type_ids": np.concatenate([given.types, given.types])})
    assert both.shape == (2,)
    assert both[0] == both[1]


def test_a_band_is_opened_once(own: Path, tmp_path: Path) -> None:
    """A calibration that is fitted anew leaves the model as it is; a model without a second look has no band."""
    export(read_source(own), tmp_path / "with", Label("test"), Recipe(looks_again=True))
    export(read_source(own), tmp_path / "without", Label("test"), Recipe())
    assert can_be_opened(tmp_path / "with")
    assert not can_be_opened(tmp_path / "without")
    open_band(tmp_path / "with", IsotonicCurve(breakpoints=((-2.0, 0.0), (0.0, 0.5), (2.0, 1.0))))
    assert not can_be_opened(tmp_path / "with")
    assert read_manifest(tmp_path / "with", "reranker").computed_again == pytest.approx((-1.4, 0.6), abs=1e-5)


def test_what_looks_again_is_the_same_to_the_byte(own: Path, tmp_path: Path) -> None:
    """The same source gives the same file, so a hash names a model."""
    first = export(read_source(own), tmp_path / "first", Label("test"), COARSE, PAIRS)
    assert export(read_source(own), tmp_path / "second", Label("test"), COARSE, PAIRS) == first
