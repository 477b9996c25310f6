"""What every `TimedReranker` promises, held against the double and the bundled model."""

import itertools
import math
from collections.abc import Iterator

import pytest

from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.adapters.onnx_tokens import ModelInput
from second_opinion.pipeline.ports import TimedReranker
from second_opinion.schemas.errors import JobCancelled, TextUnreadable
from second_opinion.testing.models import WordReranker

QUERY = "ibuprofen dosage for children"
PASSAGES = [f"Leaflet {number}\n" + "A child takes five milligrams for each kilogram. " * 12 for number in range(200)]


@pytest.fixture(scope="module", params=["double", "onnx"])
def reranker(request: pytest.FixtureRequest) -> Iterator[TimedReranker]:
    """The double and the real model."""
    if request.param == "double":
        yield WordReranker()
        return
    real = OnnxReranker.open(threads=1)
    assert isinstance(real, TimedReranker)
    yield real
    real.close()


def test_time_enough_is_no_difference(reranker: TimedReranker) -> None:
    """Scores are those of `score`, to the last bit."""
    assert reranker.score_in_time(QUERY, PASSAGES[:8], is_over=lambda: False) == reranker.score(QUERY, PASSAGES[:8])


def test_it_stops_with_what_it_has(reranker: TimedReranker) -> None:
    """The head of the list is scored as ever, the tail is None, and nothing in between is left out."""
    asked = itertools.count()
    scores = reranker.score_in_time(QUERY, PASSAGES, is_over=lambda: next(asked) > 60)
    read = [score for score in scores if score is not None]
    assert 0 < len(read) < len(PASSAGES)
    assert scores == [*read, *([None] * (len(PASSAGES) - len(read)))]
    assert all(math.isfinite(score) for score in read)
    assert read[:3] == reranker.score(QUERY, PASSAGES[: len(read[:3])])


def test_no_time_at_all_reads_nothing(reranker: TimedReranker) -> None:
    """It answers at once, with a None for each passage."""
    assert reranker.score_in_time(QUERY, PASSAGES, is_over=lambda: True) == [None] * len(PASSAGES)
    assert reranker.score_in_time(QUERY, [], is_over=lambda: True) == []


def test_a_guard_still_ends_it(reranker: TimedReranker) -> None:
    """A cancelled job is not answered in part."""

    def cancelled() -> None:
        raise JobCancelled("no longer wanted")

    with pytest.raises(JobCancelled):
        reranker.score_in_time(QUERY, PASSAGES, is_over=lambda: False, guard=cancelled)


def test_without_a_limit_all_are_read(reranker: TimedReranker) -> None:
    """Nobody is in a hurry unless they say so."""
    assert reranker.score_in_time(QUERY, PASSAGES[:3]) == reranker.score(QUERY, PASSAGES[:3])


def test_a_passage_that_breaks_the_model_breaks_only_its_own_score() -> None:
    """A token that the network does not know fails in the runtime itself; the others score as they do alone."""
    reranker = OnnxReranker.open(threads=1)
    expected = reranker.score(QUERY, PASSAGES[:3])
    as_ever = reranker.tokenizer.pair

    def pair(query: list[int], passage: str) -> ModelInput:
        made = as_ever(query, passage)
        if passage == PASSAGES[1]:
            made.ids[0, -2] = 10**6
        return made

    reranker.tokenizer.pair = pair  # type: ignore[method-assign]
    first, broken, third = reranker.score_in_time(QUERY, PASSAGES[:3])
    assert [first, third] == [expected[0], expected[2]]
    assert isinstance(broken, TextUnreadable)
    with pytest.raises(TextUnreadable):
        reranker.score(QUERY, PASSAGES[:3])
    reranker.close()


def test_a_query_beyond_the_window_is_told() -> None:
    """As many tokens as a pair has room for are read whole; one more, and it is said how many are."""
    reranker = OnnxReranker.open(threads=1)
    most = reranker.tokenizer.max_query_tokens
    assert reranker.query_cut("why " * most) is None
    assert reranker.query_cut("why " * (most + 1)) == most
    assert reranker.score("why " * (most + 1), PASSAGES[:1]) == reranker.score("why " * most, PASSAGES[:1])
    reranker.close()
