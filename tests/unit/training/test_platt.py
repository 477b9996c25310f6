import numpy as np
import pytest

from second_opinion.schemas.errors import ModelUnusable
from second_opinion.training.platt import calibration_error, chances, fit_platt, log_loss

TRUE_SLOPE, TRUE_INTERCEPT = 0.8, -1.5


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Scores with labels drawn by a known curve."""
    chance = np.random.default_rng(11)
    raw = chance.normal(0.0, 3.0, 40_000)
    return raw, chance.random(len(raw)) < chances(TRUE_SLOPE * raw + TRUE_INTERCEPT)


def test_the_curve_that_drew_the_labels_is_found(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Slope and intercept come back, and with them relevances that mean what they say."""
    raw, relevant = drawn
    curve = fit_platt(raw, relevant)
    assert (curve.slope, curve.intercept) == pytest.approx((TRUE_SLOPE, TRUE_INTERCEPT), abs=0.05)
    assert calibration_error(chances(curve.slope * raw + curve.intercept), relevant) < 0.01


def test_no_other_curve_is_likelier(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """The fit is at the bottom of the log loss."""
    raw, relevant = drawn
    curve = fit_platt(raw, relevant)
    best = log_loss(curve, raw, relevant)
    for change in ({"slope": curve.slope * 1.1}, {"slope": curve.slope * 0.9}, {"intercept": curve.intercept + 0.2}):
        assert log_loss(curve.model_copy(update=change), raw, relevant) > best


def test_separable_scores_have_a_finite_curve() -> None:
    """Labels that a score tells apart without error do not drive the slope to infinity."""
    raw = np.linspace(-5.0, 5.0, 100)
    assert fit_platt(raw, raw > 0).slope < 50


@pytest.mark.parametrize(
    ("raw", "relevant"),
    [
        (np.linspace(-1.0, 1.0, 100), np.zeros(100, bool)),
        (np.linspace(-1.0, 1.0, 100), np.ones(100, bool)),
        (np.linspace(-1.0, 1.0, 10), np.arange(10) > 5),
    ],
)
def test_too_few_judgements_are_refused(raw: np.ndarray, relevant: np.ndarray) -> None:
    """One class only, or less than fifty pairs, give no curve."""
    with pytest.raises(ModelUnusable, match="too few"):
        fit_platt(raw, relevant)


def test_a_score_that_orders_backwards_is_refused() -> None:
    """A curve that falls would turn the order of the results around."""
    raw = np.linspace(-5.0, 5.0, 200)
    with pytest.raises(ModelUnusable, match="slope"):
        fit_platt(raw, raw < 0)
