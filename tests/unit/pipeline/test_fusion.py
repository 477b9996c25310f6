"""Reciprocal rank fusion."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from second_opinion.pipeline.fusion import fuse
from second_opinion.schemas.candidate import Candidate
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.testing.builders import a_candidate

weights = st.sampled_from([0.0, 0.5, 1.0, 3.0])


@st.composite
def two_lists(draw: st.DrawFn) -> list[Candidate]:
    """Candidates as retrieval gives them: each list's ranks run from 1 without gaps."""
    chunks = [(document, ordinal) for document in "abcde" for ordinal in range(4)]
    bm25 = draw(st.lists(st.sampled_from(chunks), unique=True))
    knn = draw(st.lists(st.sampled_from(chunks), unique=True))
    found = sorted({*bm25, *knn})
    return [
        a_candidate(
            *chunk,
            bm25=bm25.index(chunk) + 1 if chunk in bm25 else None,
            knn=knn.index(chunk) + 1 if chunk in knn else None,
        )
        for chunk in found
    ]


@given(found=two_lists(), bm25=weights, knn=weights, limit=st.integers(1, 30))
def test_the_fused_order_is_that_of_the_formula(found: list[Candidate], bm25: float, knn: float, limit: int) -> None:
    """Each score is the weighted sum over the lists that hold the chunk, and the best come first, at most `limit`."""
    if bm25 == knn == 0.0:
        return
    fusion = fuse(found, QueryDefaults(bm25_weight=bm25, knn_weight=knn, candidates=limit))
    for place, fused in enumerate(fusion.candidates, start=1):
        one = fused.candidate
        by_bm25 = bm25 / (60 + one.bm25_rank) if one.bm25_rank else 0.0
        by_knn = knn / (60 + one.knn_rank) if one.knn_rank else 0.0
        assert fused.fused_rank == place
        assert fused.fused_score == by_bm25 + by_knn
    scores = [fused.fused_score for fused in fusion.candidates]
    assert scores == sorted(scores, reverse=True)
    countable = [c for c in found if (c.bm25_rank and bm25) or (c.knn_rank and knn)]
    assert len(fusion.candidates) == min(limit, len(countable))


@given(found=two_lists(), limit=st.integers(1, 10))
def test_a_document_is_either_among_the_candidates_or_lost(found: list[Candidate], limit: int) -> None:
    """Every document that was found is accounted for once, and the lost ones stand behind the last candidate."""
    fusion = fuse(found, QueryDefaults(candidates=limit))
    present = {fused.candidate.chunk.document_id for fused in fusion.candidates}
    lost = [loss.document_id for loss in fusion.lost]
    assert len(lost) == len(set(lost))
    assert present | set(lost) == {candidate.chunk.document_id for candidate in found}
    assert present.isdisjoint(lost)
    assert all(loss.fused_rank > limit for loss in fusion.lost)


def test_a_weight_of_zero_leaves_a_list_out() -> None:
    """A chunk that only the list without weight holds is no candidate, and that list breaks no ties."""
    found = [a_candidate("a", bm25=2, knn=1), a_candidate("b", bm25=1, knn=9), a_candidate("c", knn=2)]
    fusion = fuse(found, QueryDefaults(bm25_weight=1.0, knn_weight=0.0))
    assert [fused.candidate.chunk.document_id for fused in fusion.candidates] == ["b", "a"]
    assert fusion.lost == ()


def test_ties_have_one_order_whatever_order_they_come_in() -> None:
    """The better single rank goes first, then the smaller chunk id."""
    tied = [a_candidate("x", bm25=3, knn=1), a_candidate("y", bm25=1, knn=3), a_candidate("z", bm25=2)]
    orders = {
        tuple(fused.candidate.chunk.document_id for fused in fuse(list(order), QueryDefaults()).candidates)
        for order in permutations(tied)
    }
    by_id = sorted(tied[:2], key=lambda candidate: candidate.chunk.chunk_id)
    assert orders == {(*(candidate.chunk.document_id for candidate in by_id), "z")}


def test_nothing_found_fuses_to_nothing() -> None:
    """Empty lists are no error."""
    assert fuse([], QueryDefaults()).candidates == ()
