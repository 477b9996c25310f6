"""Fitting calibrations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from second_opinion.pipeline.calibration.fit import (
    fit_calibration,
    fit_curve,
    fit_isotonic,
    fit_platt,
)
from second_opinion.pipeline.calibration.folds import document_groups, grouped_folds
from second_opinion.pipeline.calibration.judged_scores import JudgedScores
from second_opinion.pipeline.calibration.quality import log_loss, quality
from second_opinion.pipeline.calibration_error import calibration_error
from second_opinion.schemas.calibration import CERTAINTY, IsotonicCurve, PlattCurve, sigmoid
from second_opinion.schemas.errors import CalibrationRefused, NotEnoughJudgements, RelevanceMissing

TRUE = PlattCurve(slope=0.8, intercept=-1.5)
Drawn = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    """Scores with labels drawn by a known curve."""
    chance = np.random.default_rng(11)
    raw = chance.normal(0.0, 3.0, 6_000)
    return raw, chance.random(len(raw)) < relevances(TRUE, raw)


def relevances(curve: PlattCurve | IsotonicCurve, raw: np.ndarray) -> np.ndarray:
    return np.array([curve.relevance(value) for value in raw])


def queries(count: int, *, candidates: int = 10, answered: float = 0.7, seed: int = 3) -> list[JudgedScores]:
    """Queries with scores around -4; those with an answer have one candidate that scores higher."""
    chance = np.random.default_rng(seed)
    made = []
    for number in range(count):
        raw = chance.normal(-4.0, 1.5, candidates)
        relevant = np.zeros(candidates, bool)
        if chance.random() < answered:
            raw[0], relevant[0] = chance.normal(1.0, 2.0), True
        best = float(raw.max())
        made.append(JudgedScores(raw, relevant, (f"d{number}",), best, bool(relevant.any()), "made"))
    return made


def test_the_curve_that_drew_the_labels_is_found(drawn: Drawn) -> None:
    """Slope and intercept come back, and with them relevances that mean what they say."""
    curve = fit_platt(*drawn)
    assert (curve.slope, curve.intercept) == pytest.approx((TRUE.slope, TRUE.intercept), abs=0.1)
    assert calibration_error(relevances(curve, drawn[0]), drawn[1]) < 0.03


def test_no_other_logistic_curve_is_likelier(drawn: Drawn) -> None:
    """The fit is at the bottom of the log loss."""
    raw, relevant = drawn
    curve = fit_platt(raw, relevant)
    best = log_loss(relevances(curve, raw), relevant)
    for change in ({"slope": curve.slope * 1.1}, {"slope": curve.slope * 0.9}, {"intercept": curve.intercept + 0.2}):
        assert log_loss(relevances(curve.model_copy(update=change), raw), relevant) > best


def test_separable_scores_have_a_finite_curve() -> None:
    """Labels that a score tells apart without error do not drive the slope to infinity."""
    raw = np.linspace(-5.0, 5.0, 100)
    assert fit_platt(raw, raw > 0).slope < 50


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=2, max_size=60))
def test_an_isotonic_curve_rises_and_is_never_certain(pairs: list[tuple[float, bool]]) -> None:
    """Whatever it is fitted on: no relevance falls where the score rises, and none is nearer to 0 or 1 than allowed."""
    raw, relevant = np.array([one[0] for one in pairs]), np.array([one[1] for one in pairs])
    try:
        curve = fit_isotonic(raw, relevant)
    except CalibrationRefused:
        return
    found = [curve.relevance(float(value)) for value in np.linspace(-40.0, 40.0, 61)]
    assert found == sorted(found)
    assert CERTAINTY <= found[0] <= found[-1] <= 1.0 - CERTAINTY


def test_the_likelier_method_is_chosen_on_unseen_folds(drawn: Drawn) -> None:
    """Labels drawn by a logistic curve lead to Platt's, labels drawn by a step to isotonic; both losses are kept."""
    raw, relevant = drawn
    folds = np.arange(2_000) % 5
    smooth = fit_curve(raw[:2_000], relevant[:2_000], folds)
    assert smooth.curve.method == "platt"
    step = np.random.default_rng(5).random(2_000) < np.where(raw[:2_000] > 0.0, 0.6, 0.02)
    stepped = fit_curve(raw[:2_000], step, folds)
    assert stepped.curve.method == "isotonic"
    for fit in (smooth, stepped):
        assert fit.log_losses[fit.curve.method] == min(fit.log_losses.values())
        assert set(fit.log_losses) == {"platt", "isotonic"}


def test_both_levels_are_fitted_and_reported() -> None:
    """The query level knows that the best of many is high by chance: it lies below the pair's where queries fail."""
    made = queries(200)
    found = fit_calibration(made)
    report = found.report
    assert found.query_level is not None
    assert (report.pairs, report.queries) == (2_000, 200)
    assert report.relevant_pairs == report.queries_with_answer == sum(one.answerable is True for one in made)
    assert report.slices == {"made": 200}
    assert set(report.log_losses) == set(report.query_log_losses) == {"platt", "isotonic"}
    assert found.quality.log_loss == pytest.approx(min(report.log_losses.values()), abs=1e-5)
    best = np.array([one.best_raw for one in made])
    answered = np.array([one.answerable for one in made])
    assert calibration_error(relevances(found.query_level.curve, best), answered) < 0.1


def test_without_unanswerable_queries_there_is_no_query_level_and_it_is_said() -> None:
    """The pair curve stands on its own; the report tells what is missing."""
    found = fit_calibration(queries(100, answered=1.0))
    assert found.query_level is None
    assert "both kinds" in found.report.query_level
    few = fit_calibration(queries(30))
    assert few.query_level is None
    assert "50 are needed" in few.report.query_level


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=3), min_size=2, max_size=20))
def test_queries_that_share_a_document_are_one_group(linked: list[list[str]]) -> None:
    """Directly or through others; and queries of one group never stand in two folds."""
    groups = document_groups(linked)
    for one, mine in enumerate(linked):
        for other, theirs in enumerate(linked):
            if set(mine) & set(theirs):
                assert groups[one] == groups[other]
    if len(set(groups.tolist())) > 1 and len(linked) > 2:
        folds = grouped_folds([bool(one) for one in linked], groups)
        for group in set(groups.tolist()):
            assert len(set(folds[groups == group].tolist())) == 1


def test_a_judgement_is_never_measured_by_a_curve_that_saw_its_document() -> None:
    """Queries on one document whose labels are all turned around cannot teach the curve that measures them."""
    honest = queries(60, answered=1.0)
    turned = [
        JudgedScores(np.array([3.0, -6.0]), np.array([False, True]), ("shared",), 3.0, answerable=True)
        for _ in range(5)
    ]
    found = fit_calibration([*honest, *turned])
    ends = np.cumsum([len(one.raw) for one in (*honest, *turned)])
    of_turned = found.pair.held_out[ends[59] :]
    alone = fit_platt(np.concatenate([q.raw for q in honest]), np.concatenate([q.relevant for q in honest]))
    assert abs(of_turned[0] - alone.relevance(3.0)) < 0.35
    assert of_turned[1] < 0.2


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ([], "0 pairs are judged"),
        (queries(4), "40 pairs are judged, .* 50 are needed"),
        (queries(10, answered=0.0), "all 100 judged pairs are irrelevant"),
        (
            [JudgedScores(np.ones(60), np.ones(60, bool), ("d",), 1.0, answerable=True)],
            "all 60 judged pairs are relevant",
        ),
    ],
)
def test_too_little_evidence_is_refused_with_its_counts(made: list[JudgedScores], sentence: str) -> None:
    """Fewer than fifty pairs, or one class only: the sentence has the counts, the hint says what to do."""
    with pytest.raises(NotEnoughJudgements, match=sentence) as refused:
        fit_calibration(made)
    assert "opinion judge" in refused.value.hint


def test_evidence_that_hangs_on_one_document_is_refused() -> None:
    """Nothing is left to check the curve on."""
    one = [JudgedScores(q.raw, q.relevant, ("same",), q.best_raw, answerable=True) for q in queries(10, answered=1.0)]
    with pytest.raises(NotEnoughJudgements, match="about different documents"):
        fit_calibration(one)


def test_a_score_that_orders_backwards_is_refused() -> None:
    """A curve that falls would turn the order of the results around; none is fitted."""
    turned = [JudgedScores(-q.raw, q.relevant, q.documents, 0.0, q.answerable) for q in queries(100)]
    with pytest.raises(CalibrationRefused, match="does not mean more relevant"):
        fit_calibration(turned)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    """They are counted, not left out: a reranker that returns them is broken."""
    made = queries(100)
    made[7].raw[2] = bad
    with pytest.raises(RelevanceMissing, match="1 raw scores are not numbers"):
        fit_calibration(made)


def test_quality_counts_what_it_says() -> None:
    """By hand: two queries, both with their best candidate right, too few for more than one bin."""
    found = quality([np.array([0.9, 0.4]), np.array([0.45, 0.1])], [np.array([True, False]), np.array([True, False])])
    expected = -np.log([0.9, 0.6, 0.45, 0.9]).mean()
    assert found.log_loss == pytest.approx(expected)
    assert found.top1_error == pytest.approx(1.0 - (0.9 + 0.45) / 2)
    assert (found.near_floor, found.near_floor_pairs) == (0.5, 2)
    assert sigmoid(0.0) == 0.5
