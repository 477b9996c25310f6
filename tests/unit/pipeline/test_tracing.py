"""From an answer to its trace."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from second_opinion.pipeline.floor import decide
from second_opinion.pipeline.tracing import showable
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.trace import query_hash, text_hash
from second_opinion.schemas.verdict import Decision, Outcome
from second_opinion.testing.traces import a_trace

documents = st.sampled_from("abc")


@given(
    rows=st.lists(st.tuples(documents, st.floats(0.0, 1.0)), max_size=12),
    floor=st.floats(0.0, 1.0),
    top_k=st.integers(1, 5),
    cap=st.integers(1, 3),
)
def test_the_showable_are_enough_to_replay_any_floor(
    rows: Sequence[tuple[str, float]], floor: float, top_k: int, cap: int
) -> None:
    """What a floor shows is exactly what is showable and reaches it."""
    ordered = sorted(rows, key=lambda row: -row[1])
    choices = QueryDefaults(floor=floor, top_k=top_k, chunks_per_document=cap)
    shown = [decision is Decision.KEPT for decision in decide(ordered, choices)]
    replayed = [
        can and relevance >= floor for can, (_, relevance) in zip(showable(ordered, choices), ordered, strict=True)
    ]
    assert replayed == shown


def test_a_trace_holds_every_candidate_but_no_text() -> None:
    """Dropped ones too, each with its decision, its numbers and the hash of its text."""
    trace = a_trace("j1", 0.9, 0.5, 0.3, 0.1, floor=0.4, top_k=1)
    assert [one.decision for one in trace.candidates] == [
        Decision.KEPT,
        Decision.OVER_TOP_K,
        Decision.BELOW_FLOOR,
        Decision.BELOW_FLOOR,
    ]
    assert {one.text_hash for one in trace.candidates} == {text_hash("Take one tablet.")}
    assert "tablet." not in trace.model_dump_json()
    assert (trace.outcome, trace.kept, trace.best_relevance, trace.relevances) == (Outcome.ANSWERED, 1, 0.9, (0.9,))


def test_the_question_can_be_kept_out() -> None:
    """Then only its hash is there."""
    trace = a_trace("j1", 0.5, text="a private matter", with_query=False)
    assert "private" not in trace.model_dump_json()
    assert trace.query_hash == query_hash("A private  matter")


@pytest.mark.parametrize("other", ["how may?", "how many", "howmany?"])
def test_other_questions_have_other_hashes(other: str) -> None:
    """Only case and spacing are put aside."""
    assert query_hash(other) != query_hash("how many?")
