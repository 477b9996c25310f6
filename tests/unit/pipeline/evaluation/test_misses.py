"""Every answerable query has exactly one class, decided by the last stage that a relevant document reached."""

from hypothesis import given
from hypothesis import strategies as st

from second_opinion.pipeline.evaluation.misses import classify, misses
from second_opinion.schemas.candidate import FusionLoss
from second_opinion.schemas.errors import EmptyQuery
from second_opinion.schemas.evaluation import AskedQuery, MissClass
from second_opinion.schemas.verdict import Decision
from tests.unit.pipeline.evaluation.conftest import a_dataset, asked

RELEVANT = frozenset({"a", "b"})
shares = st.floats(0.0, 1.0)
names = st.sampled_from(["a", "b", "c", "d", "e"])


@st.composite
def answers(draw: st.DrawFn) -> AskedQuery:
    """Return any answer that the stages can give."""
    candidates = draw(st.lists(st.tuples(names, shares), max_size=12))
    candidates.sort(key=lambda one: -one[1])
    present = {document for document, _ in candidates}
    behind = draw(st.sets(names)) - present
    lost = [FusionLoss(document_id=one, fused_rank=101) for one in sorted(behind)]
    return asked(
        "q",
        *candidates,
        floor=draw(shares),
        top_k=draw(st.integers(1, 5)),
        cap=draw(st.integers(1, 3)),
        lost=lost,
        missing=sorted(draw(st.sets(st.sampled_from(sorted(RELEVANT))))),
    )


@given(answers())
def test_exactly_one_class_and_the_one_that_the_stages_say(one: AskedQuery) -> None:
    """What holds of each class holds when it is given: the conditions exclude each other and cover everything."""
    mine = [candidate for candidate in one.candidates if candidate.document_id in RELEVANT]
    shown = any(candidate.decision is Decision.KEPT for candidate in mine)
    lost = any(loss.document_id in RELEVANT for loss in one.lost_in_fusion)
    gone = set(one.missing) >= RELEVANT
    capped = {Decision.OVER_TOP_K}
    by_class = {
        MissClass.HIT: shown,
        MissClass.FLOOR_MISS: bool(mine) and not shown and all(c.decision not in capped for c in mine[:1]),
        MissClass.RANKING_MISS: bool(mine) and not shown,
        MissClass.FUSION_MISS: not mine and lost,
        MissClass.RECALL_MISS: not mine and not lost and not gone,
        MissClass.NOT_INDEXED: not mine and not lost and gone,
    }
    found = classify(one, RELEVANT)
    assert by_class[found]
    certain = {kind for kind, holds in by_class.items() if holds} - {MissClass.FLOOR_MISS, MissClass.RANKING_MISS}
    assert certain <= {found}
    assert bool(certain) != bool(mine and not shown)


@given(answers())
def test_without_a_floor_nothing_is_missed_by_it(one: AskedQuery) -> None:
    """At a floor of 0.0 what is within the caps is shown, so no miss is the floor's."""
    candidates = [(c.document_id, c.relevance) for c in one.candidates]
    open_choices = one.choices.model_copy(update={"floor": 0.0})
    again = asked("q", *candidates, floor=0.0, top_k=open_choices.top_k, cap=open_choices.chunks_per_document)
    assert classify(again, RELEVANT) is not MissClass.FLOOR_MISS


def test_the_floor_kept_it_back() -> None:
    """Within the first `top_k`, below the floor."""
    assert classify(asked("q", ("c", 0.9), ("a", 0.3)), RELEVANT) is MissClass.FLOOR_MISS


def test_the_order_kept_it_back() -> None:
    """Scored, but behind `top_k` others: no floor would show it."""
    one = asked("q", ("c", 0.9), ("d", 0.8), ("a", 0.7), top_k=2)
    assert classify(one, RELEVANT) is MissClass.RANKING_MISS
    below = asked("q", ("c", 0.9), ("d", 0.8), ("a", 0.1), top_k=2)
    assert classify(below, RELEVANT) is MissClass.RANKING_MISS


def test_the_document_cap_makes_room() -> None:
    """Chunks over the cap of another document take no place, so the relevant one is a hit, or the floor's miss."""
    crowd = [("c", 0.9), ("c", 0.8), ("c", 0.7)]
    assert classify(asked("q", *crowd, ("a", 0.6), top_k=2, cap=1), RELEVANT) is MissClass.HIT
    assert classify(asked("q", *crowd, ("a", 0.1), top_k=2, cap=1), RELEVANT) is MissClass.FLOOR_MISS


def test_a_document_of_several_that_could_not_be_indexed_is_not_the_reason() -> None:
    """The other one could have been found."""
    assert classify(asked("q", ("c", 0.9), missing=["a"]), RELEVANT) is MissClass.RECALL_MISS
    assert classify(asked("q", ("c", 0.9), missing=["a", "b"]), RELEVANT) is MissClass.NOT_INDEXED


def test_only_answerable_queries_that_were_answered_are_classified() -> None:
    """Unanswerable ones cannot miss; failed ones are told elsewhere."""
    dataset = a_dataset({"q": {"a": 1}, "u": {"a": 1}, "f": {"a": 1}}, unanswerable=["u"])
    failed = AskedQuery(query_id="f", error=EmptyQuery("the query is empty").info())
    found = misses(dataset, [asked("q", ("c", 0.9), ("a", 0.3)), asked("u", ("c", 0.9)), failed])
    assert [(one.query_id, one.miss, one.best_rank, one.best_relevance) for one in found] == [
        ("q", MissClass.FLOOR_MISS, 2, 0.3)
    ]
