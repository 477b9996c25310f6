"""What comes back from a reranker is whole and finite, or an error."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.ports import Guard, TimeIsOver, no_guard
from second_opinion.pipeline.reranking import Reading, rerank
from second_opinion.schemas.candidate import FusedCandidate
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    JobCancelled,
    OpinionError,
    RelevanceMissing,
    RerankUnavailable,
    TextUnreadable,
)
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.testing.builders import a_candidate, a_fused
from second_opinion.testing.models import WordReranker
from second_opinion.testing.scores import MemoryScores


class FixedReranker:
    """Answers with what it was given, and remembers what it was asked."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.spec = WordReranker().spec
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
    scored = rerank(
        "q", candidates, reranker=FixedReranker([-1.0, 3.0, 0.0]), calibration=NoCalibration("logit")
    ).scored
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
    assert rerank("q", [], reranker=reranker, calibration=NoCalibration("logit")) == Reading()
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


class CountingReranker:
    """Counts the passages that it reads."""

    def __init__(self) -> None:
        self.spec = WordReranker().spec
        self.read: list[str] = []

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Score, and remember what."""
        self.read += passages
        return WordReranker().score(query, passages, guard=guard)


def a_passage(rank: int, text: str) -> FusedCandidate:
    """Return a candidate of one document with this text."""
    candidate = a_candidate("leaflet", rank, bm25=rank)
    chunk = candidate.chunk.model_copy(update={"text": text})
    changed = candidate.model_copy(update={"chunk": chunk})
    return FusedCandidate(candidate=changed, fused_rank=rank, fused_score=1.0 / rank)


def test_a_pair_that_is_known_is_not_read_again() -> None:
    """The second query reads only what is new to it, and every number is what it would have been without a cache."""
    reranker, known = CountingReranker(), MemoryScores()
    texts = ["one tablet", "two tablets a day", "the tablets are white"]
    candidates = [a_passage(rank, text) for rank, text in enumerate(texts, start=1)]
    first = rerank(
        "how many tablets?", candidates[:2], reranker=reranker, calibration=NoCalibration("logit"), known=known
    ).scored
    assert [one.cached for one in first] == [False, False]
    reranker.read.clear()
    second = rerank(
        "how many tablets?", candidates, reranker=reranker, calibration=NoCalibration("logit"), known=known
    ).scored
    assert [passage.partition("\n")[2] for passage in reranker.read] == ["the tablets are white"]
    assert [one.cached for one in second] == [True, True, False]
    without = rerank(
        "how many tablets?", candidates, reranker=WordReranker(), calibration=NoCalibration("logit")
    ).scored
    assert [one.model_copy(update={"cached": False}) for one in second] == list(without)


def test_a_passage_that_occurs_twice_is_read_once() -> None:
    """Two chunks of the same words get the same score from one reading."""
    reranker = CountingReranker()
    candidates = [a_passage(1, "one tablet"), a_passage(2, "a spoon"), a_passage(3, "one tablet")]
    scored = rerank("how many tablets?", candidates, reranker=reranker, calibration=NoCalibration("logit")).scored
    assert len(reranker.read) == 2
    assert scored[0].raw_score == scored[2].raw_score != scored[1].raw_score


def test_a_guard_is_asked_even_when_every_score_is_known() -> None:
    """A cancelled query is not answered from the cache."""

    def cancelled() -> None:
        raise JobCancelled("cancelled")

    known, candidates = MemoryScores(), [a_passage(1, "one tablet")]
    arguments: dict[str, Any] = {"reranker": WordReranker(), "calibration": NoCalibration("logit"), "known": known}
    rerank("q", candidates, **arguments)
    with pytest.raises(JobCancelled):
        rerank("q", candidates, **arguments, guard=cancelled)


def test_a_score_that_is_no_number_is_never_kept() -> None:
    """What the floor cannot read is an error each time anew."""
    known = MemoryScores()
    for _ in range(2):
        with pytest.raises(RelevanceMissing):
            rerank(
                "q", [a_fused(1)], reranker=FixedReranker([math.nan]), calibration=NoCalibration("logit"), known=known
            )
    assert known.kept == {}


class FragileReranker(WordReranker):
    """Fails on passages with a certain word."""

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> list[float | OpinionError | None]:
        """Give an error in place of the score of such a passage."""
        scores = super().score_in_time(query, passages, is_over=is_over, guard=guard)
        return [
            TextUnreadable("the model fails on this text") if "poison" in passage else score
            for passage, score in zip(passages, scores, strict=True)
        ]


def test_a_passage_that_breaks_the_model_is_left_out_alone() -> None:
    """It is named with its error, nothing is kept of it, and the others have the scores that they have without it."""
    texts = ["one tablet", "poison", "two tablets", "poison"]
    candidates = [a_passage(rank, text) for rank, text in enumerate(texts, start=1)]
    arguments: dict[str, Any] = {"reranker": FragileReranker(), "calibration": NoCalibration("logit")}
    known = MemoryScores()
    reading = rerank("how many tablets?", candidates, **arguments, known=known)
    assert reading.scored == rerank("how many tablets?", [candidates[0], candidates[2]], **arguments).scored
    assert list(reading.failed) == [candidates[rank].candidate.chunk.chunk_id for rank in (1, 3)]
    assert {problem.code for problem in reading.failed.values()} == {"text_unreadable"}
    assert len(known.kept) == 2


def test_passages_that_all_break_the_model_are_an_error() -> None:
    """Nothing was judged, so nothing was refused."""
    with pytest.raises(TextUnreadable):
        rerank("q", [a_passage(1, "poison")], reranker=FragileReranker(), calibration=NoCalibration("logit"))
