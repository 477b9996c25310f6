import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.calibration import (
    CANARY_TOLERANCE,
    CalibrationArtefact,
    CalibrationKey,
    Canary,
    FitReport,
    FittedCalibration,
    NoCalibration,
    PlattCurve,
    calibration_for,
    check_canaries,
    check_key,
    load_artefact,
    sigmoid,
)
from second_opinion.schemas.errors import CalibrationMismatch, ModelUnusable, RelevanceMissing
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.testing.models import WordReranker

CURVE = PlattCurve(slope=0.7, intercept=-1.0)
PAIR = ("ibuprofen dosage", "the dosage of ibuprofen goes by weight")
finite = st.floats(-1e6, 1e6)


def artefact(reranker: WordReranker, *, drift: float = 0.0) -> CalibrationArtefact:
    (raw,) = reranker.score(PAIR[0], [PAIR[1]])
    canary = Canary(query=PAIR[0], passage=PAIR[1], raw_score=raw + drift)
    fitted = FitReport(pairs=1_000, relevant_pairs=100, queries=20)
    key = CalibrationKey.of(reranker.spec)
    return CalibrationArtefact(id="platt-test", key=key, curve=CURVE, fitted_on=fitted, canaries=(canary,))


def write(path: Path, found: CalibrationArtefact) -> Path:
    path.write_text(found.model_dump_json(), encoding="utf-8")
    return path


@given(finite, finite)
def test_relevance_keeps_the_order_of_scores(one: float, other: float) -> None:
    """A higher raw score never has a lower relevance, and every relevance is in [0, 1]."""
    lower, higher = sorted((one, other))
    assert 0.0 <= CURVE.relevance(lower) <= CURVE.relevance(higher) <= 1.0


def test_the_curve_is_computed_in_float64() -> None:
    """Large logits stay distinguishable from 1, where smaller types would saturate."""
    assert CURVE.relevance(20.0) < CURVE.relevance(21.0) < 1.0
    assert sigmoid(-1_000.0) == 0.0
    assert sigmoid(1_000.0) == 1.0
    assert sigmoid(0.0) == 0.5


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("scale", ["logit", "probability"])
def test_a_score_that_is_not_finite_has_no_relevance(raw: float, scale: str) -> None:
    """It fails closed, with and without an artefact."""
    shipped = FittedCalibration(artefact(WordReranker()), CalibrationSource.SHIPPED)
    with pytest.raises(RelevanceMissing):
        shipped.relevance([0.0, raw])
    with pytest.raises(RelevanceMissing):
        NoCalibration("logit" if scale == "logit" else "probability").relevance([raw])


def test_without_an_artefact_results_say_so(tmp_path: Path) -> None:
    """A model folder without a calibration is usable; its scores are squashed by their declared scale."""
    calibration = calibration_for(WordReranker(), tmp_path / "calibration.json")
    assert (calibration.source, calibration.id) == (CalibrationSource.NONE, None)
    assert calibration.relevance([0.0]) == [0.5]
    assert NoCalibration("probability").relevance([0.25]) == [0.25]
    with pytest.raises(RelevanceMissing):
        NoCalibration("probability").relevance([1.5])


def test_an_artefact_of_this_model_is_used(tmp_path: Path) -> None:
    """Key and canaries agree, so the curve applies and names itself."""
    reranker = WordReranker()
    calibration = calibration_for(reranker, write(tmp_path / "calibration.json", artefact(reranker)))
    assert (calibration.source, calibration.id) == (CalibrationSource.SHIPPED, "platt-test")
    assert calibration.relevance([2.0]) == [CURVE.relevance(2.0)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "other"),
        ("revision", "2"),
        ("file_hash", "f00"),
        ("backend", "torch"),
        ("dtype", "float16"),
        ("max_tokens", 512),
        ("scale", "probability"),
    ],
)
def test_an_artefact_of_another_model_is_refused(field: str, value: object) -> None:
    """Whatever of the key differs is named."""
    reranker = WordReranker()
    found = artefact(reranker)
    reranker.spec = replace(reranker.spec, **{field: value})  # type: ignore[arg-type]
    with pytest.raises(CalibrationMismatch, match=field):
        check_key(found, reranker.spec)


def test_another_runtime_or_processor_is_judged_by_its_scores() -> None:
    """Where the canaries still score alike the artefact holds; where one drifts it is refused."""
    reranker = WordReranker()
    found, drifted = artefact(reranker), artefact(reranker, drift=-2.0)
    reranker.spec = replace(reranker.spec, runtime="another runtime", kernel="another kernel")
    check_key(found, reranker.spec)
    check_canaries(found, reranker)
    with pytest.raises(CalibrationMismatch, match="another runtime on another kernel"):
        check_canaries(drifted, reranker)


def test_a_drift_within_the_tolerance_is_accepted() -> None:
    """The tolerance is in relevance, so it means the same for every model."""
    reranker = WordReranker()
    (raw,) = reranker.score(PAIR[0], [PAIR[1]])
    small = artefact(reranker, drift=0.01)
    assert abs(CURVE.relevance(raw) - CURVE.relevance(raw + 0.01)) < CANARY_TOLERANCE
    check_canaries(small, reranker)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"curve": {"slope": 0.0, "intercept": 0.0}}, "curve.slope"),
        ({"curve": {"slope": -1.0, "intercept": 0.0}}, "curve.slope"),
        ({"key": {}}, "key.model"),
        ({"curve": {"method": "guess"}}, "curve: .*guess"),
    ],
)
def test_a_corrupt_artefact_is_named_with_its_field(tmp_path: Path, change: dict[str, object], named: str) -> None:
    """A curve that does not rise, a key without a model, an unknown method: file and field are in the sentence."""
    content = {**json.loads(artefact(WordReranker()).model_dump_json()), **change}
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelUnusable, match=named) as caught:
        load_artefact(path)
    assert str(path) in caught.value.message


def test_the_bundled_calibration_belongs_to_the_bundled_model() -> None:
    """What is shipped holds together on this machine: key, canaries and a curve that rises."""
    reranker = OnnxReranker.open(threads=1)
    calibration = calibration_for(reranker, reranker.folder / "calibration.json")
    assert calibration.source is CalibrationSource.SHIPPED
    assert isinstance(calibration, FittedCalibration)
    assert calibration.artefact.fitted_on.relevant_pairs >= 50
    assert len(calibration.artefact.canaries) >= 10
    reranker.close()


def test_the_bundled_calibration_separates_the_founding_example() -> None:
    """Of the founding example's canaries, the answer clears the default floor and what does not answer stays below."""
    found = load_artefact(model_folder("bundled", "reranker") / "calibration.json")
    asked = [canary for canary in found.canaries if canary.query == "ibuprofen dosage for children"]
    children, adults, acetaminophen, mechanism, bicycle = [found.curve.relevance(one.raw_score) for one in asked]
    assert children >= 0.4
    assert children > adults
    assert children > acetaminophen
    assert max(mechanism, bicycle) < 0.4
    assert bicycle < 0.1
