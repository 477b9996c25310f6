import ir_measures
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from second_opinion.training.comparison import interval
from second_opinion.training.measurement import auroc, ndcg
from second_opinion.training.pool import Pool

TABLE = st.lists(st.sampled_from([0.0, 1.0]), min_size=20, max_size=20)


def pool(targets: list[list[float]], missing: list[float]) -> Pool:
    count, depth = len(targets), len(targets[0])
    places = np.tile(np.arange(depth), (count, 1))
    return Pool(
        queries=np.arange(count, dtype=np.int32),
        sets=np.zeros(count, dtype=np.int8),
        candidates=places.astype(np.int32),
        targets=np.array(targets, dtype=np.float32),
        bm25_ranks=places.astype(np.int16),
        knn_ranks=places.astype(np.int16),
        missing=np.array(missing, dtype=np.float32),
        answerable=np.array(targets).any(axis=1),
        names=("made_up",),
    )


@given(st.lists(TABLE, min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 99))
def test_ndcg_is_that_of_ir_measures(targets: list[list[float]], lost: int, seed: int) -> None:
    """Relevant passages that no list had count in the ideal order; queries without any are left out."""
    made = pool(targets, [float(lost)] * len(targets))
    scores = np.random.default_rng(seed).permutation(20 * len(targets)).reshape(len(targets), 20).astype(float)
    found = ndcg(made, scores)
    for row, labels in enumerate(targets):
        grades = {f"d{n}": int(label) for n, label in enumerate(labels)} | {f"lost{n}": 1 for n in range(lost)}
        if not any(grades.values()):
            assert np.isnan(found[row])
            continue
        run = {"q": {f"d{n}": float(scores[row, n]) for n in range(20)}}
        expected = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], {"q": grades}, run)[ir_measures.nDCG @ 10]
        np.testing.assert_allclose(found[row], expected, atol=1e-6)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_auroc_is_the_share_of_pairs_in_order(above: list[int], below: list[int]) -> None:
    """Counted pair by pair, ties as one half."""
    scores = np.array([*above, *below], dtype=np.float64)
    positive = np.arange(len(scores)) < len(above)
    pairs = [(one > other) + (one == other) / 2 for one in above for other in below]
    np.testing.assert_allclose(auroc(scores, positive), np.mean(pairs))


def test_auroc_of_one_class_is_unknown() -> None:
    """Without both classes there is no number, rather than a wrong one."""
    assert auroc(np.array([0.1, 0.2]), np.array([True, True])) is None


def test_an_interval_holds_the_mean_and_narrows_with_more_values() -> None:
    """The bootstrap brackets the mean; a hundred times the values make it about ten times narrower."""
    values = np.random.default_rng(3).normal(0.2, 1.0, 10_000)
    few, many = interval(values[:100]), interval(values)
    assert few[0] <= values[:100].mean() <= few[1]
    assert many[0] <= values.mean() <= many[1]
    assert 5 < (few[1] - few[0]) / (many[1] - many[0]) < 20
