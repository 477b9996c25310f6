"""Choosing a floor from judged traces."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from second_opinion.pipeline.floor_choice import (
    JudgedPair,
    JudgedQuery,
    Measures,
    join,
    require_enough,
    separation,
    suggest,
)
from second_opinion.schemas.errors import NotEnoughJudgements
from second_opinion.schemas.floor_choice import FloorFinding, FloorGoal
from second_opinion.schemas.trace import Judgement, Trace, TracedCandidate
from second_opinion.testing.traces import a_trace

FLOORS = [0.0, 0.25, 0.5, 0.75, 1.0]
NOW = 1_700_000_000.0


def judged(*pairs: tuple[float, bool], best: float | None = None) -> JudgedQuery:
    """Return a query with these judged candidates, the best of all among them."""
    top = max(relevance for relevance, _ in pairs) if best is None else best
    has_relevant = any(relevant for _, relevant in pairs)
    return JudgedQuery(
        pairs=tuple(JudgedPair(relevance, relevant, showable=True) for relevance, relevant in pairs),
        best_relevance=top,
        answerable=True if has_relevant else False if best is None else None,
    )


def judgement(trace: Trace, place: int, *, relevant: bool, **fields: object) -> Judgement:
    """Return a judgement of a trace's candidate."""
    candidate: TracedCandidate = trace.candidates[place]
    told = {
        "collection": trace.collection,
        "query_hash": trace.query_hash,
        "document_id": candidate.document_id,
        "text_hash": candidate.text_hash,
        "chunk_id": candidate.chunk_id,
        "job_id": trace.job_id,
        "relevant": relevant,
        "judged_at": NOW,
    }
    return Judgement.model_validate({**told, **fields})


def calibrated(queries: int, *, pairs: int = 3, seed: int = 0) -> list[JudgedQuery]:
    """Return queries whose relevances are right: of pairs at 0.7, 70 % are relevant."""
    rng = np.random.default_rng(seed)
    return [
        judged(*((float(value), bool(rng.random() < value)) for value in rng.random(pairs))) for _ in range(queries)
    ]


# Joining judgements with traces


def test_a_judgement_finds_its_passage_after_a_new_ingest() -> None:
    """Document and text name a passage; its chunk id and its relevance may be others by now."""
    before = a_trace("j1", 0.9, 0.2, text="how many?")
    after = a_trace("j2", 0.6, 0.5, text="how many?")
    renamed = after.model_copy(
        update={"candidates": tuple(one.model_copy(update={"chunk_id": "new"}) for one in after.candidates)}
    )
    (query,) = join([judgement(before, 0, relevant=True)], {before.query_hash: renamed})
    assert [(pair.relevance, pair.relevant) for pair in query.pairs] == [(0.6, True)]
    assert query.best_relevance == 0.6


def test_a_judgement_without_its_passage_is_left_out() -> None:
    """Nothing is known of how the present trace would score it; nor is a trace of another collection asked."""
    trace = a_trace("j1", 0.9)
    gone = judgement(trace, 0, relevant=True, document_id="gone")
    elsewhere = judgement(trace, 0, relevant=True, collection="elsewhere")
    assert join([gone, elsewhere], {trace.query_hash: trace}) == []
    assert join([judgement(trace, 0, relevant=True)], {}) == []


@pytest.mark.parametrize(
    ("said", "answerable"), [({0: True}, True), ({1: True, 0: False}, True), ({0: False}, False), ({1: False}, None)]
)
def test_a_question_has_no_answer_when_its_best_candidate_is_irrelevant(
    said: dict[int, bool], answerable: bool | None
) -> None:
    """One relevant candidate makes it answerable; without a judgement of the best one nothing is known."""
    trace = a_trace("j1", 0.9, 0.5)
    (query,) = join(
        [judgement(trace, place, relevant=relevant) for place, relevant in said.items()], {trace.query_hash: trace}
    )
    assert query.answerable is answerable


def test_what_the_caps_keep_back_is_shown_at_no_floor() -> None:
    """It counts as missed, not as shown."""
    trace = a_trace("j1", 0.9, 0.8, top_k=1)
    queries = join([judgement(trace, place, relevant=True) for place in (0, 1)], {trace.query_hash: trace})
    measures = Measures(queries, [0.0])
    assert measures.shown.tolist() == [1.0]
    assert [one and one.value for one in measures.recall()] == [0.5]


# Measures


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.25, 0.6, 1.0]), st.booleans()), min_size=1, max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_measures_are_what_counting_gives(rows: Sequence[Sequence[tuple[float, bool]]]) -> None:
    """Precision, recall and wrongly refused at each floor, by the words of their definitions; intervals hold them."""
    queries = [judged(*row) for row in rows]
    measures = Measures(queries, FLOORS)
    precision, recall, refused = measures.precision(), measures.recall(), measures.wrongly_refused()
    pairs = [pair for row in rows for pair in row]
    for place, floor in enumerate(FLOORS):
        shown = [relevant for relevance, relevant in pairs if relevance >= floor]
        relevant = sum(is_relevant for _, is_relevant in pairs)
        wrongly = [
            row for row in rows if max(value for value, _ in row) < floor and any(is_relevant for _, is_relevant in row)
        ]
        found = precision[place], recall[place], refused[place]
        expected = (
            sum(shown) / len(shown) if shown else None,
            sum(shown) / relevant if relevant else None,
            len(wrongly) / len(rows),
        )
        assert [one and one.value for one in found] == pytest.approx(expected)
        assert all(0.0 <= one.low <= one.value <= one.high <= 1.0 for one in found if one is not None)


def test_an_interval_knows_that_few_are_few() -> None:
    """20 of 20 relevant is no proof of 100 %."""
    (estimate,) = Measures([judged((0.9, True)) for _ in range(20)], [0.5]).precision()
    assert estimate is not None
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert 0.75 < estimate.low < 0.9


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of calibrated data, precision above a floor f is (1 + f) / 2; 95 % intervals miss it rarely."""
    held = 0
    for seed in range(100):
        (estimate,) = Measures(calibrated(60, seed=seed), [0.4]).precision()
        assert estimate is not None
        held += estimate.low <= 0.7 <= estimate.high
    assert held >= 90


def test_queries_that_are_alike_inside_widen_the_interval() -> None:
    """Ten judgements of one query are worth less than ten of ten queries."""
    rng = np.random.default_rng(1)
    clustered = [judged(*[(0.9, bool(kind))] * 10) for kind in rng.random(30) < 0.5]
    spread = [judged((0.9, bool(kind))) for kind in rng.random(300) < 0.5]
    wide, narrow = (Measures(queries, [0.5]).precision()[0] for queries in (clustered, spread))
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


# Separation


def test_separation_is_one_when_all_relevant_score_higher() -> None:
    """And zero the other way round, and a half for ties."""
    apart = [judged((0.9, True), (0.1, False)) for _ in range(5)]
    against = [judged((0.1, True), (0.9, False)) for _ in range(5)]
    tied = [judged((0.5, True), (0.5, False)) for _ in range(5)]
    found = [separation(queries) for queries in (apart, against, tied)]
    assert [one and one.value for one in found] == [1.0, 0.0, 0.5]


def test_separation_of_one_class_is_unknown() -> None:
    """There is nothing to tell apart."""
    assert separation([judged((0.9, True))]) is None


# Suggestions


def test_a_floor_for_a_precision() -> None:
    """Of calibrated data, 0.9 of what is shown is relevant from 0.8 on."""
    found = suggest(calibrated(1_000), FloorGoal.PRECISION, 0.9)
    assert found.finding is FloorFinding.FOUND
    assert found.floor == pytest.approx(0.8, abs=0.04)
    assert found.floor_low is not None
    assert found.floor_high is not None
    assert found.floor_low <= 0.8 <= found.floor_high
    assert found.measured is not None
    assert found.measured.value >= 0.9


def test_a_floor_for_a_recall() -> None:
    """Of calibrated data, 1 - f² of what is relevant lies above f; the highest floor that keeps enough is told."""
    found = suggest(calibrated(1_000), FloorGoal.RECALL, 0.75)
    assert found.floor == pytest.approx(0.5, abs=0.04)


def test_a_floor_for_refusals() -> None:
    """Between the best candidates of questions without an answer and those of questions with one."""
    rng = np.random.default_rng(3)
    without = [judged((float(value), False)) for value in rng.uniform(0.0, 0.5, 60)]
    having = [judged((float(value), True)) for value in rng.uniform(0.6, 1.0, 60)]
    found = suggest([*without, *having], FloorGoal.REFUSAL_F1)
    assert found.finding is FloorFinding.FOUND
    assert found.floor is not None
    assert 0.5 < found.floor <= 0.6
    assert found.measured is not None
    assert found.measured.value == 1.0


@pytest.mark.parametrize(
    ("goal", "target"), [(FloorGoal.PRECISION, 0.5), (FloorGoal.RECALL, 0.5), (FloorGoal.REFUSAL_F1, None)]
)
def test_traces_that_do_not_separate_give_no_floor(goal: FloorGoal, target: float | None) -> None:
    """Where relevance says nothing of relevance, a floor would be a guess."""
    rng = np.random.default_rng(4)
    queries = [judged((float(rng.random()), bool(rng.random() < 0.5))) for _ in range(200)]
    found = suggest(queries, goal, target)
    assert found.finding is FloorFinding.NO_SEPARATION
    assert found.floor is None
    assert found.separation.low < 0.5 < found.separation.high


def test_a_precision_that_no_floor_reaches_is_said_so() -> None:
    """With the best that can be had."""
    rng = np.random.default_rng(5)
    queries = [judged((float(value), bool(rng.random() < 0.7 * value))) for value in rng.random(300)]
    found = suggest(queries, FloorGoal.PRECISION, 0.99)
    assert found.finding is FloorFinding.OUT_OF_REACH
    assert found.floor is None
    assert found.measured is not None
    assert 0.5 < found.measured.value < 0.99


@pytest.mark.parametrize(
    "queries",
    [
        [judged((0.9, True), (0.1, False)) for _ in range(24)],
        [judged((0.9, True)) for _ in range(100)],
        [judged((0.9, False)) for _ in range(100)],
        [],
    ],
)
def test_too_little_evidence_is_refused(queries: list[JudgedQuery]) -> None:
    """Fewer than 50 pairs, or all of one kind: an error that says what to do."""
    with pytest.raises(NotEnoughJudgements) as caught:
        suggest(queries, FloorGoal.PRECISION, 0.9)
    assert "opinion judge" in caught.value.hint


def test_fifty_of_both_kinds_are_enough() -> None:
    """The limit itself is let through."""
    require_enough([judged((0.9, True), (0.1, False)) for _ in range(25)])


def test_refusals_need_questions_without_an_answer() -> None:
    """Pairs of both kinds are not enough: of every question something is relevant here."""
    with pytest.raises(NotEnoughJudgements):
        suggest([judged((0.9, True), (0.1, False)) for _ in range(50)], FloorGoal.REFUSAL_F1)
