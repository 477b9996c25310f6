"""The report: calibration on constructed cases, refusals, pooling, intervals."""

from dataclasses import replace

import numpy as np
import pytest

from second_opinion.pipeline.calibration_error import ExpectedError
from second_opinion.pipeline.evaluation.reliability import figures, pairs_of
from second_opinion.pipeline.evaluation.report import AskedSet, report
from second_opinion.pipeline.evaluation.sample import Sample
from second_opinion.pipeline.resampling import Booleans, Floats
from second_opinion.schemas.errors import DeadlineExceeded, InvalidRequest
from second_opinion.schemas.evaluation import AskedQuery, EvaluationReport, MissClass
from tests.unit.pipeline.evaluation.conftest import a_dataset, asked


def a_set(queries: int = 60, *, seed: int = 3, right: float = 0.7, name: str = "made") -> AskedSet:
    """Return half answerable queries, whose first candidate is right in a share of them, and half unanswerable ones."""
    rng = np.random.default_rng(seed)
    answerable = [f"q{number}" for number in range(queries // 2)]
    without = [f"u{number}" for number in range(queries - len(answerable))]
    dataset = a_dataset({one: {f"d-{one}": 1} for one in answerable}, unanswerable=without)
    answers = []
    for one in answerable:
        order = [f"d-{one}", "other"] if rng.random() < right else ["other", f"d-{one}"]
        answers.append(asked(one, *zip(order, sorted(rng.uniform(0.3, 1.0, 2))[::-1], strict=True)))
    answers += [asked(one, ("other", float(rng.uniform(0.0, 0.7)))) for one in without]
    return AskedSet(replace(dataset, name=name), "dev", tuple(answers))


def test_a_calibrated_case_has_no_error() -> None:
    """In each bin as many are relevant as the relevance says."""
    relevance = np.repeat(np.arange(10) / 10, 100)
    relevant = np.concatenate([np.arange(100) < 10 * step for step in range(10)])
    error = ExpectedError(relevance, relevant)
    assert error.count == 10
    assert error(np.ones(1000)) == pytest.approx(0.0)
    assert [one.pairs for one in error.bins()] == [100] * 10


def test_a_case_that_is_off_by_a_third_has_that_error() -> None:
    """Everything has a relevance of 0.9; a share of 0.6 is relevant."""
    assert ExpectedError(np.full(500, 0.9), np.arange(500) < 300)(np.ones(500)) == pytest.approx(0.3)


def test_chance_alone_is_told_from_error() -> None:
    """Relevances that are right have the error that chance gives; wrong ones have more, and more pairs have less."""
    chance = np.random.default_rng(5)

    def drawn(count: int) -> tuple[Floats, Booleans]:
        relevance = chance.uniform(0.1, 0.9, count)
        return relevance, chance.random(count) < relevance

    right = [ExpectedError(*drawn(150)) for _ in range(40)]
    seen = np.mean([error(np.ones(150)) for error in right])
    assert np.mean([error.by_chance() for error in right]) == pytest.approx(seen, abs=0.01)
    relevance, relevant = drawn(150)
    wrong = ExpectedError(relevance**3, relevant)
    assert wrong(np.ones(150)) > 2 * wrong.by_chance()
    assert ExpectedError(*drawn(15_000)).by_chance() < 0.2 * seen


def test_chance_in_one_bin_is_that_of_a_coin() -> None:
    """The mean deviation of a share of fair coins is sqrt(1 / (2 pi n)) (de Moivre)."""
    coins = ExpectedError(np.full(100, 0.5), np.arange(100) < 50)
    assert coins.by_chance() == pytest.approx((1 / (2 * np.pi * 100)) ** 0.5, rel=0.1)


def test_overconfidence_and_underconfidence_do_not_cancel() -> None:
    """The mean fits, the bins do not."""
    relevance = np.concatenate([np.full(100, 0.2), np.full(100, 0.8)])
    assert ExpectedError(relevance, np.arange(200) < 100)(np.ones(200)) == pytest.approx(0.8)


def test_few_pairs_get_few_bins() -> None:
    """At least ten pairs a bin: 35 pairs make three."""
    error = ExpectedError(np.linspace(0.0, 1.0, 35), np.zeros(35, dtype=np.bool_))
    assert error.count == 3
    assert sum(one.pairs for one in error.bins()) == 35


def test_the_order_of_equal_relevances_does_not_matter() -> None:
    """They stay in one bin, so shuffling pairs changes nothing."""
    rng = np.random.default_rng(2)
    relevance, relevant = rng.integers(0, 5, 300) / 5, rng.random(300) < 0.4
    shuffled = rng.permutation(300)
    first = ExpectedError(relevance, relevant)(np.ones(300))
    assert ExpectedError(relevance[shuffled], relevant[shuffled])(np.ones(300)) == pytest.approx(first)


def test_weights_count_pairs_as_often() -> None:
    """A pair with weight two is two pairs."""
    relevance, relevant = np.array([0.1, 0.9, 0.9]), np.array([False, True, False])
    twice = np.array([1.0, 2.0, 1.0])
    written_out = ExpectedError(np.array([0.1, 0.9, 0.9, 0.9]), np.array([False, True, True, False]))
    assert ExpectedError(relevance, relevant)(twice) == pytest.approx(written_out(np.ones(4)))


def test_unjudged_pairs_are_told_apart() -> None:
    """As irrelevant in one column, left out in the other."""
    dataset = a_dataset({"q": {"a": 1, "b": 0}})
    answers = [asked("q", ("a", 0.9), ("b", 0.5), ("x", 0.4))]
    pairs = pairs_of([(dataset, one) for one in answers])
    everything, judged = figures(pairs, Sample([0])), figures(pairs.only(pairs.judged), Sample([0]))
    assert (everything.pairs, judged.pairs) == (3, 2)
    assert everything.observed is not None
    assert judged.observed is not None
    assert everything.observed.value == pytest.approx(1 / 3)
    assert judged.observed.value == pytest.approx(1 / 2)
    assert everything.brier is not None
    assert everything.brier.value == pytest.approx((0.1**2 + 0.5**2 + 0.4**2) / 3)


def test_the_band_near_the_floor_has_a_row_for_what_would_be_shown() -> None:
    """Of twelve passages in the band, the ten within `top_k` are counted apart."""
    dataset = a_dataset({"q": {"d11": 1, "d0": 1}})
    answers = asked("q", *((f"d{number}", 0.49 - number / 100) for number in range(12)))
    found = report([AskedSet(dataset, "dev", (answers,))]).calibration
    assert found.from_0_3_to_0_5.unjudged_irrelevant.pairs == 12
    shown = found.first_from_0_3_to_0_5.unjudged_irrelevant
    assert (shown.pairs, shown.observed and shown.observed.value) == (10, pytest.approx(1 / 10))


def test_the_same_answers_give_the_same_report() -> None:
    """Intervals are drawn with a fixed seed."""
    assert report([a_set()]) == report([a_set()])


def test_refusals_by_hand() -> None:
    """To refuse is the positive class, over queries of which it is known whether they have an answer."""
    dataset = a_dataset({"a": {"d": 1}, "b": {"d": 1}}, unanswerable=["u", "v"])
    answers = (asked("a", ("d", 0.9)), asked("b", ("d", 0.1)), asked("u", ("d", 0.2)), asked("v", ("d", 0.8)))
    found = report([AskedSet(dataset, "dev", answers)]).refusal
    assert found is not None
    assert (found.answerable, found.unanswerable, found.refused) == (2, 2, 2)
    for one in (found.precision, found.recall, found.f1, found.wrongly_refused):
        assert one is not None
        assert one.value == pytest.approx(1 / 2)
        assert one.low <= one.value <= one.high
    assert found.auroc is not None
    assert found.auroc.value == pytest.approx(2 / 4)


def test_unknown_answerability_leaves_refusals_out() -> None:
    """Nothing is guessed where a data set does not say."""
    dataset = a_dataset({"a": {"d": 1}})
    unknown = {"a": replace(dataset.questions["a"], answerable=None, split="test")}
    made = AskedSet(replace(dataset, questions=unknown), "test", (asked("a", ("d", 0.9)),))
    found = report([made])
    assert found.refusal is None
    assert found.misses[MissClass.HIT] == 1


def test_failed_queries_are_counted_and_count_in_nothing_else() -> None:
    """The report names them."""
    whole = a_set()
    failed = AskedQuery(query_id="q0", error=DeadlineExceeded("no answer within 1 second").info())
    found = report([AskedSet(whole.dataset, "dev", (*whole.asked[1:], failed))])
    assert (found.queries, found.failed) == (60, 1)
    assert found.failures == {"q0": "no answer within 1 second"}
    assert found.ranked_queries == report([whole]).ranked_queries - 1


def test_nothing_answered_is_an_error() -> None:
    """There is nothing to report."""
    failed = AskedQuery(query_id="q0", error=DeadlineExceeded("no answer").info())
    with pytest.raises(InvalidRequest, match="no query was answered"):
        report([AskedSet(a_set().dataset, "dev", (failed,))])


def test_the_final_order_is_compared_query_by_query() -> None:
    """The same order in both has a difference of exactly 0, however wide each one's own interval is."""
    found = report([a_set()])
    over = {one.over: one.ndcg_10 for one in found.differences}
    assert (over["fused"].low, over["fused"].value, over["fused"].high) == (0.0, 0.0, 0.0)
    (reranked,) = (one for one in found.stages if one.stage == "reranked")
    assert reranked.ndcg_10.low < reranked.ndcg_10.value < reranked.ndcg_10.high


def test_pooled_ranking_is_the_mean_of_the_sets() -> None:
    """A large set does not outweigh a small one; calibration is over all queries together."""
    small, large = a_set(20, seed=1, right=0.0, name="small"), a_set(100, seed=2, right=1.0, name="large")
    alone = [report([one]) for one in (small, large)]
    pooled = report([small, large])
    assert pooled.datasets == ("small", "large")
    assert _ndcg(pooled) == pytest.approx(np.mean([_ndcg(one) for one in alone]))
    assert pooled.calibration.top_1.unjudged_irrelevant.pairs == 120
    assert pooled.misses[MissClass.HIT] == sum(one.misses[MissClass.HIT] for one in alone)


def test_each_floor_says_what_it_would_do() -> None:
    """At the floor in force the sweep agrees with what was done."""
    whole = a_set()
    found = report([whole])
    (point,) = (one for one in found.floors if one.floor == 0.4)
    kept = [one.outcome == "answered" for one in whole.asked]
    assert point.answered == pytest.approx(np.mean(kept))
    assert point.hits == pytest.approx(found.misses[MissClass.HIT] / sum(found.misses.values()))
    assert found.refusal is not None
    assert found.refusal.f1 is not None
    assert point.refusal_f1 == pytest.approx(found.refusal.f1.value)


def test_a_report_survives_json() -> None:
    """What is written can be read again."""
    found = report([a_set()])
    assert EvaluationReport.model_validate_json(found.model_dump_json()) == found


def _ndcg(found: EvaluationReport) -> float:
    return next(one.ndcg_10.value for one in found.stages if one.stage == "reranked")
