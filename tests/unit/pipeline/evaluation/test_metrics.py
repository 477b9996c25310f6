"""Ranking measures against small cases worked out by hand, and against ir-measures itself."""

import math
from dataclasses import replace

import ir_measures
import numpy as np
import pytest

from second_opinion.pipeline.evaluation.metrics import measure
from second_opinion.pipeline.evaluation.rankings import Stage, ranking
from second_opinion.schemas.candidate import FusionLoss
from tests.unit.pipeline.evaluation.conftest import a_dataset, asked


def test_a_document_stands_where_its_best_chunk_stands() -> None:
    """Each document once, in the order of the stage; the floor leaves only what is shown."""
    one = asked("q", ("b", 0.9), ("a", 0.8), ("b", 0.7), ("c", 0.1), fused=[4, 1, 2, 3], bm25=[None, 3, 1, None])
    assert ranking(one, Stage.RERANKED) == ["b", "a", "c"]
    assert ranking(one, Stage.FUSED) == ["a", "b", "c"]
    assert ranking(one, Stage.BM25) == ["b", "a"]
    assert ranking(one, Stage.KNN) == []
    assert ranking(one, Stage.FLOORED) == ["b", "a"]


def test_lists_hold_what_fusion_lost() -> None:
    """A document that only a list had counts for the list, and for no later stage."""
    lost = FusionLoss(document_id="x", fused_rank=101, bm25_rank=1)
    one = asked("q", ("a", 0.9), bm25=[2], lost=[lost])
    assert ranking(one, Stage.BM25) == ["x", "a"]
    assert ranking(one, Stage.FUSED) == ["a"]


def test_measures_by_hand() -> None:
    """Gains are the grades, discounted by the logarithm of the rank; the ideal order has all that is judged."""
    dataset = a_dataset({"q": {"a": 1, "b": 3, "z": 2}})
    found = measure(dataset, [asked("q", ("x", 0.9), ("a", 0.8), ("b", 0.7))]).values[Stage.RERANKED]
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert found["ndcg_10"] == pytest.approx([(1 / math.log2(3) + 3 / math.log2(4)) / ideal])
    assert found["mrr_10"] == pytest.approx([1 / 2])
    assert found["recall_10"] == pytest.approx([2 / 3])


def test_the_smallest_relevant_grade_counts() -> None:
    """Recall and reciprocal rank leave lower grades out, nDCG gives them their gain."""
    dataset = a_dataset({"q": {"a": 1, "b": 3}}, relevant_from=2)
    found = measure(dataset, [asked("q", ("a", 0.9), ("b", 0.8))]).values[Stage.RERANKED]
    assert found["mrr_10"] == pytest.approx([1 / 2])
    assert found["recall_10"] == pytest.approx([1.0])
    assert found["ndcg_10"][0] < 1.0


def test_judged_documents_that_the_corpus_lacks_lower_the_figures() -> None:
    """They count in the ideal ranking and among what could have been found."""
    dataset = a_dataset({"q": {"a": 1}})
    full = replace(dataset, absent={"q": {"far": 1}})
    one = [asked("q", ("a", 0.9))]
    assert measure(dataset, one).values[Stage.RERANKED]["recall_10"] == pytest.approx([1.0])
    found = measure(full, one).values[Stage.RERANKED]
    assert found["recall_10"] == pytest.approx([1 / 2])
    assert found["ndcg_10"] == pytest.approx([1 / (1 + 1 / math.log2(3))])


def test_a_stage_that_has_nothing_counts_as_nothing() -> None:
    """A refusal shows no document: 0, not left out."""
    dataset = a_dataset({"q": {"a": 1}, "r": {"b": 1}})
    found = measure(dataset, [asked("q", ("a", 0.1)), asked("r", ("b", 0.9))])
    assert found.values[Stage.FLOORED]["ndcg_10"] == pytest.approx([0.0, 1.0])
    assert found.values[Stage.RERANKED]["ndcg_10"] == pytest.approx([1.0, 1.0])


def test_queries_without_a_relevant_document_are_left_out() -> None:
    """There is nothing to rank first."""
    dataset = a_dataset({"q": {"a": 0}, "r": {"b": 1}}, unanswerable=["u"])
    found = measure(dataset, [asked("q", ("a", 0.9)), asked("u", ("a", 0.9)), asked("r", ("b", 0.9))])
    assert found.queries == (2,)


def test_means_are_those_of_ir_measures() -> None:
    """On random rankings and grades, each mean is what ir-measures aggregates."""
    rng = np.random.default_rng(5)
    documents = [f"d{number}" for number in range(30)]
    grades = {f"q{n}": {one: int(rng.integers(0, 3)) for one in rng.choice(documents, 8)} for n in range(20)}
    grades = {query: found for query, found in grades.items() if any(found.values())}
    orders = {query: [str(one) for one in rng.permutation(documents)[:15]] for query in grades}
    answers = [
        asked(query, *((one, 0.9 - place / 100) for place, one in enumerate(order))) for query, order in orders.items()
    ]
    found = measure(a_dataset(grades), answers).values[Stage.RERANKED]
    run = {query: {one: 1.0 / (1 + place) for place, one in enumerate(order)} for query, order in orders.items()}
    names = {"ndcg_10": "nDCG@10", "mrr_10": "RR@10", "recall_10": "R@10", "recall_100": "R@100"}
    measures = {name: ir_measures.parse_measure(said) for name, said in names.items()}
    expected = ir_measures.calc_aggregate(list(measures.values()), grades, run)
    for name, one in measures.items():
        assert found[name].mean() == pytest.approx(expected[one]), name
