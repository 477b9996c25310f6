"""What every `Reranker` promises, held against the double and the bundled model."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.ports import Reranker
from second_opinion.schemas.errors import JobCancelled, RerankUnavailable
from second_opinion.testing.models import WordReranker

QUERY = "ibuprofen dosage for children"
PASSAGES = [
    "Ibuprofen for children\nA child takes five to ten milligrams for each kilogram, every six to eight hours.",
    "Ibuprofen for adults\nAdults take 200 to 400 mg up to three times a day.",
    "How ibuprofen works\nIt slows the enzymes that make prostaglandins.",
    "Bicycle tubes\nHold the tube under water to find the hole.",
    "",
    "dosage " * 3_000,
    "👩‍👩‍👧‍👦 \x00 مرحبا \ud800",
]


@pytest.fixture(scope="module", params=["double", "onnx"])
def reranker(request: pytest.FixtureRequest) -> Iterator[Reranker]:
    """The double and the real model."""
    if request.param == "double":
        yield WordReranker()
        return
    real = OnnxReranker.open(threads=2)
    yield real
    real.close()


def test_there_is_one_finite_score_for_each_passage(reranker: Reranker) -> None:
    """Empty, endless and odd passages have a score like any other."""
    scores = reranker.score(QUERY, PASSAGES)
    assert len(scores) == len(PASSAGES)
    assert all(math.isfinite(score) for score in scores)


def test_a_pair_scores_the_same_alone_and_beside_others(reranker: Reranker) -> None:
    """Company and order change no bit of a score."""
    together = reranker.score(QUERY, PASSAGES)
    assert [reranker.score(QUERY, [passage])[0] for passage in PASSAGES] == together
    assert reranker.score(QUERY, PASSAGES[::-1]) == together[::-1]
    assert reranker.score(QUERY, [PASSAGES[1]] * 40) == [together[1]] * 40


def test_threads_get_the_same_scores(reranker: Reranker) -> None:
    """Eight callers at once, each with another query between, change no bit of a score."""
    expected = reranker.score(QUERY, PASSAGES[:4])

    def ask(number: int) -> list[float]:
        reranker.score(f"question number {number}", PASSAGES[:2])
        return reranker.score(QUERY, PASSAGES[:4])

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(ask, range(16))) == [expected] * 16


def test_no_passages_have_no_scores(reranker: Reranker) -> None:
    """Nothing in, nothing out."""
    assert reranker.score(QUERY, []) == []


def test_the_better_passage_scores_higher(reranker: Reranker) -> None:
    """The passage that answers is above the one about something else."""
    children, _, _, bicycle = reranker.score(QUERY, PASSAGES[:4])
    assert children > bicycle


def test_the_guard_ends_the_work(reranker: Reranker) -> None:
    """What the guard raises reaches the caller, and the next call is served."""

    def guard() -> None:
        raise JobCancelled("not wanted any more")

    with pytest.raises(JobCancelled):
        reranker.score(QUERY, PASSAGES, guard=guard)
    assert len(reranker.score(QUERY, PASSAGES[:1])) == 1


def test_the_spec_says_what_the_scores_are(reranker: Reranker) -> None:
    """The scale is declared, and everything that a calibration is keyed by is there."""
    assert reranker.spec.scale == "logit"
    assert reranker.spec.model
    assert reranker.spec.revision
    assert reranker.spec.max_tokens > 0


def test_a_closed_reranker_is_unavailable() -> None:
    """After closing, a call is told that no score can be had now, which is not the same as nothing relevant."""
    reranker = OnnxReranker.open(threads=1)
    reranker.close()
    with pytest.raises(RerankUnavailable):
        reranker.score(QUERY, PASSAGES[:1])


def test_whether_a_passage_is_read_whole_can_be_asked() -> None:
    """A passage of a chunk's length fits beside a long query; an endless one does not."""
    reranker = OnnxReranker.open(threads=1)
    assert reranker.reads_whole("why " * 128, "word " * 200)
    assert not reranker.reads_whole("why", "word " * 500)
    reranker.close()
