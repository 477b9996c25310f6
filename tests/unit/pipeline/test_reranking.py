"""What comes back from a reranker is whole and finite, or an error."""

import math
from collections.abc import Sequence

import pytest

from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.ports import Guard, no_guard
from second_opinion.pipeline.reranking import rerank
from second_opinion.schemas.errors import DeadlineExceeded, RelevanceMissing, RerankUnavailable
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.testing.builders import a_fused
from second_opinion.testing.models import WordReranker


class FixedReranker(WordReranker):
    """Answers with what it was given, and remembers what it was asked."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__()
        self.scores = list(scores)
        self.passages: list[str] = []

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return the fixed scores."""
        guard()
        self.passages += [f"{query}|{passage}" for passage in passages]
        return self.scores


class FixedCalibration(NoCalibration):
    """Answers with what it was given."""

    def __init__(self, relevances: Sequence[float]) -> None:
        super().__init__("logit")
        self.relevances = list(relevances)
        self.source = CalibrationSource.SHIPPED

    def relevance(self, raw: Sequence[float]) -> list[float]:
        """Return the fixed relevances, however many raw scores there are."""
        assert raw
        return self.relevances


def test_each_candidate_keeps_its_own_score() -> None:
    """Scores stay with the passages they were given for, in the order the candidates came in."""
    candidates = [a_fused(1), a_fused(2), a_fused(3)]
    scored = rerank("q", candidates, reranker=FixedReranker([-1.0, 3.0, 0.0]), calibration=NoCalibration("logit"))
    assert [one.fused for one in scored] == candidates
    assert [one.raw_score for one in scored] == [-1.0, 3.0, 0.0]
    assert scored[2].relevance == 0.5


def test_the_model_reads_where_a_passage_stands() -> None:
    """Title and text go to the model, since a passage without its title may not say what it is about."""
    reranker = FixedReranker([0.0])
    rerank("how many?", [a_fused(1, "ibuprofen")], reranker=reranker, calibration=NoCalibration("logit"))
    assert reranker.passages == ["how many?|Ibuprofen\nTake one tablet."]


def test_without_candidates_no_model_is_asked() -> None:
    """An empty list is settled here: some servers answer an empty request with an error."""
    reranker = FixedReranker([1.0])
    assert rerank("q", [], reranker=reranker, calibration=NoCalibration("logit")) == ()
    assert reranker.passages == []


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 2.0, 3.0]])
def test_another_number_of_scores_is_no_answer(scores: list[float]) -> None:
    """Scores that cannot be matched to passages are not used at all."""
    with pytest.raises(RerankUnavailable, match="scores for 2 passages"):
        rerank("q", [a_fused(1), a_fused(2)], reranker=FixedReranker(scores), calibration=NoCalibration("logit"))


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_an_error(score: float) -> None:
    """One unusable raw score fails the query instead of passing or dropping the passage."""
    with pytest.raises(RelevanceMissing, match="raw score"):
        rerank("q", [a_fused(1), a_fused(2)], reranker=FixedReranker([1.0, score]), calibration=NoCalibration("logit"))


@pytest.mark.parametrize("relevances", [[0.5], [0.5, math.nan], [0.5, 1.5], [0.5, -0.1], [0.1, 0.2, 0.3]])
def test_an_unusable_relevance_is_an_error(relevances: list[float]) -> None:
    """A calibration that answers with too few, too many or impossible numbers judges nothing."""
    with pytest.raises(RelevanceMissing):
        rerank("q", [a_fused(1), a_fused(2)], reranker=FixedReranker([1, 2]), calibration=FixedCalibration(relevances))


def test_the_guard_reaches_the_model() -> None:
    """A deadline ends the scoring."""

    def late() -> None:
        raise DeadlineExceeded("late")

    with pytest.raises(DeadlineExceeded):
        rerank("q", [a_fused(1)], reranker=WordReranker(), calibration=NoCalibration("logit"), guard=late)
