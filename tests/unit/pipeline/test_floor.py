"""The floor and what comes after it."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from second_opinion.pipeline.floor import judge
from second_opinion.schemas.candidate import ScoredCandidate
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import InvalidQuery, RelevanceMissing
from second_opinion.schemas.verdict import Decision, Outcome, RefusalReason, Verdict
from second_opinion.testing.builders import a_scored

relevances = st.floats(0.0, 1.0)
floors = st.one_of(relevances, st.sampled_from([0.0, 0.4, 1.0]))
query_levels = st.one_of(st.none(), relevances)


@st.composite
def candidates(draw: st.DrawFn, *, rising: bool = False) -> list[ScoredCandidate]:
    """Candidates of few documents; with `rising`, relevance never falls where the raw score rises."""
    rows = draw(st.lists(st.tuples(st.floats(-12, 12), relevances, st.sampled_from("abcd")), max_size=12))
    at = dict(zip(sorted({raw for raw, _, _ in rows}), sorted(relevance for _, relevance, _ in rows), strict=False))
    return [
        a_scored(
            rank,
            raw_score=raw,
            relevance=at[raw] if rising else relevance,
            document_id=document,
            ordinal=rank,
        )
        for rank, (raw, relevance, document) in enumerate(rows, start=1)
    ]


choices = st.builds(
    QueryDefaults,
    floor=floors,
    top_k=st.integers(1, 12),
    candidates=st.integers(1, 1_000),
    chunks_per_document=st.integers(1, 6),
    bm25_weight=st.floats(0.5, 10),
    knn_weight=st.floats(0.0, 10),
)


def kept(verdict: Verdict) -> list[ScoredCandidate]:
    return [one.scored for one in verdict.judged if one.decision is Decision.KEPT]


@given(scored=candidates(), said=choices, query=query_levels)
def test_no_choice_reaches_around_the_floor(
    scored: list[ScoredCandidate], said: QueryDefaults, query: float | None
) -> None:
    """Whatever is chosen, what is kept clears the floor, and so does its query; what is below is called so."""
    verdict = judge(scored, said, query)
    query_is_below = query is not None and query < said.floor
    for one in verdict.judged:
        assert (one.decision is Decision.BELOW_FLOOR) == (one.scored.relevance < said.floor)
        assert (one.decision is Decision.QUERY_BELOW_FLOOR) == (one.scored.relevance >= said.floor and query_is_below)
    if query_is_below:
        assert (verdict.outcome, kept(verdict)) == (Outcome.REFUSED, [])


@given(scored=candidates(), said=choices, query=query_levels)
def test_a_query_relevance_refuses_and_changes_nothing_else(
    scored: list[ScoredCandidate], said: QueryDefaults, query: float | None
) -> None:
    """Order, ranks and relevances are the same with and without; where it reaches the floor, the verdict is too."""
    alone, together = judge(scored, said), judge(scored, said, query)
    assert [(one.rank, one.scored) for one in together.judged] == [(one.rank, one.scored) for one in alone.judged]
    assert together.query_relevance == query
    if query is None or query >= said.floor:
        assert together.model_copy(update={"query_relevance": None}) == alone


@given(scored=candidates(), said=choices)
def test_every_candidate_has_one_decision_in_final_order(scored: list[ScoredCandidate], said: QueryDefaults) -> None:
    """Nothing is lost: ranks run from 1, raw scores fall, and ties keep the fused order."""
    verdict = judge(scored, said)
    assert [one.rank for one in verdict.judged] == list(range(1, len(scored) + 1))
    places = [(-one.scored.raw_score, one.scored.fused.fused_rank) for one in verdict.judged]
    assert places == sorted(places)
    assert Counter(one.scored.fused.fused_rank for one in verdict.judged) == Counter(range(1, len(scored) + 1))


@given(scored=candidates(), said=choices)
def test_cap_counts_what_cleared_the_floor_and_top_k_what_is_within_the_cap(
    scored: list[ScoredCandidate], said: QueryDefaults
) -> None:
    """A passage over the cap has its document's places taken; one over top k has all places taken, within the cap."""
    taken: Counter[str] = Counter()
    for one in judge(scored, said).judged:
        document = one.scored.fused.candidate.chunk.key
        match one.decision:
            case Decision.KEPT:
                taken[document] += 1
            case Decision.OVER_DOCUMENT_CAP:
                assert taken[document] == said.chunks_per_document
            case Decision.OVER_TOP_K:
                assert taken.total() == said.top_k
                assert taken[document] < said.chunks_per_document
            case Decision.BELOW_FLOOR:
                assert one.scored.relevance < said.floor
            case Decision.QUERY_BELOW_FLOOR:
                pytest.fail("no query relevance was given")
    assert taken.total() <= said.top_k
    assert all(count <= said.chunks_per_document for count in taken.values())


@given(scored=candidates(), said=choices)
def test_floor_of_zero_drops_nothing_for_relevance(scored: list[ScoredCandidate], said: QueryDefaults) -> None:
    """A floor of 0.0 is a floor like any other: it lets everything through, up to the caps."""
    verdict = judge(scored, said.model_copy(update={"floor": 0.0, "top_k": 100, "chunks_per_document": 1_000}))
    assert kept(verdict) == [one.scored for one in verdict.judged]
    assert (verdict.outcome is Outcome.ANSWERED) == bool(scored)


@given(scored=candidates(), said=choices)
def test_floor_of_one_keeps_only_certainty(scored: list[ScoredCandidate], said: QueryDefaults) -> None:
    """A floor of 1.0 keeps a relevance of exactly 1.0 and nothing else."""
    verdict = judge(scored, said.model_copy(update={"floor": 1.0, "top_k": 100, "chunks_per_document": 1_000}))
    assert {id(one) for one in kept(verdict)} == {id(one) for one in scored if one.relevance == 1.0}


@given(scored=candidates(rising=True), said=choices, other=floors)
def test_raising_the_floor_never_shows_more(scored: list[ScoredCandidate], said: QueryDefaults, other: float) -> None:
    """What a higher floor keeps, a lower one keeps too."""
    low, high = sorted([said.floor, other])
    at_low = {one.fused.fused_rank for one in kept(judge(scored, said.model_copy(update={"floor": low})))}
    at_high = {one.fused.fused_rank for one in kept(judge(scored, said.model_copy(update={"floor": high})))}
    assert at_high <= at_low


def test_a_relevance_equal_to_the_floor_clears_it() -> None:
    """The comparison is `>=`; the next smaller number is below."""
    below = math.nextafter(0.4, 0.0)
    scored = [a_scored(1, raw_score=1.0, relevance=0.4), a_scored(2, raw_score=0.9, relevance=below)]
    verdict = judge(scored, QueryDefaults(floor=0.4))
    assert [one.decision for one in verdict.judged] == [Decision.KEPT, Decision.BELOW_FLOOR]


@pytest.mark.parametrize("relevance", [None, math.nan, math.inf, -math.inf, -0.01, 1.01, "0.9"])
@pytest.mark.parametrize("floor", [0.0, 0.4])
def test_an_unusable_relevance_is_an_error(relevance: object, floor: float) -> None:
    """The floor fails closed: missing, not a number or out of range never passes, not even a floor of 0.0."""
    good = a_scored(1, raw_score=2.0, relevance=0.9)
    bad = ScoredCandidate.model_construct(fused=good.fused, raw_score=1.0, relevance=relevance)
    with pytest.raises(RelevanceMissing, match="no floor"):
        judge([good, bad], QueryDefaults(floor=floor))


@pytest.mark.parametrize("raw_score", [None, math.nan, math.inf])
def test_an_unusable_raw_score_is_an_error(raw_score: object) -> None:
    """Without a raw score there is no order."""
    good = a_scored(1, raw_score=2.0, relevance=0.9)
    bad = ScoredCandidate.model_construct(fused=good.fused, raw_score=raw_score, relevance=0.9)
    with pytest.raises(RelevanceMissing, match="cannot be ordered"):
        judge([bad], QueryDefaults())


@pytest.mark.parametrize("floor", [math.nan, -0.1, 1.1, math.inf])
def test_an_unusable_floor_is_an_error(floor: float) -> None:
    """A floor that slipped past validation judges nothing."""
    said = QueryDefaults().model_copy(update={"floor": floor})
    with pytest.raises(InvalidQuery, match="outside"):
        judge([a_scored(1, raw_score=1.0, relevance=0.9)], said)


def test_no_candidates_is_a_refusal_with_its_reason() -> None:
    """Nothing found is not the same as nothing relevant."""
    verdict = judge([], QueryDefaults(floor=0.0))
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, RefusalReason.NO_CANDIDATES)
    assert verdict.best_relevance is None
    assert verdict.sentence == "Nothing was found that could be judged."


@pytest.mark.parametrize(
    ("best", "floor", "sentence"),
    [
        (0.31, 0.4, "Nothing cleared 0.40; best was 0.31."),
        (0.398, 0.4, "Nothing cleared 0.400; best was 0.398."),
        (0.9999, 1.0, "Nothing cleared 1.0000; best was 0.9999."),
    ],
)
def test_a_refusal_says_by_how_much(best: float, floor: float, sentence: str) -> None:
    """Both numbers are written with as many decimals as it takes to tell them apart."""
    verdict = judge([a_scored(1, raw_score=0.0, relevance=best)], QueryDefaults(floor=floor))
    assert (verdict.reason, verdict.best_relevance) == (RefusalReason.BELOW_FLOOR, best)
    assert verdict.sentence == sentence


def test_an_answer_says_how_many_and_how_good() -> None:
    """The sentence of an answer names the passages shown, all judged, the best and the floor."""
    scored = [
        a_scored(rank, raw_score=-rank, relevance=relevance) for rank, relevance in enumerate([0.91, 0.47, 0.1], 1)
    ]
    assert judge(scored, QueryDefaults()).sentence == "2 of 3 passages are shown; best was 0.91, floor 0.40."
    assert judge(scored, QueryDefaults(floor=0.5)).sentence == "1 of 3 passages is shown; best was 0.91, floor 0.50."


@pytest.mark.parametrize(
    ("best", "query", "reason", "sentence"),
    [
        (
            0.45,
            0.31,
            RefusalReason.QUERY_BELOW_FLOOR,
            "The best passage has 0.45, but as the best of 2 the chance that any of them answers is 0.31, below 0.40.",
        ),
        (
            0.4,
            0.3999,
            RefusalReason.QUERY_BELOW_FLOOR,
            (
                "The best passage has 0.40, but as the best of 2 the chance that any of them answers is 0.3999, "
                "below 0.4000."
            ),
        ),
        (0.31, 0.2, RefusalReason.BELOW_FLOOR, "Nothing cleared 0.40; best was 0.31."),
    ],
)
def test_a_refused_query_says_both_numbers(best: float, query: float, reason: RefusalReason, sentence: str) -> None:
    """Told from a query whose passages are all below the floor, which needs no other reason."""
    scored = [a_scored(1, raw_score=1.0, relevance=best), a_scored(2, raw_score=0.5, relevance=0.1)]
    verdict = judge(scored, QueryDefaults(floor=0.4), query)
    assert (verdict.outcome, verdict.reason, verdict.sentence) == (Outcome.REFUSED, reason, sentence)


@pytest.mark.parametrize("query", [math.nan, math.inf, -0.01, 1.01])
def test_an_unusable_query_relevance_is_an_error(query: float) -> None:
    """It fails closed as a passage's does, at any floor."""
    with pytest.raises(RelevanceMissing, match="the query has a relevance"):
        judge([a_scored(1, raw_score=1.0, relevance=0.9)], QueryDefaults(floor=0.0), query)
