"""From an answer to its trace."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from second_opinion.pipeline.floor import decide
from second_opinion.pipeline.tracing import showable
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.trace import TraceScope, deciding, query_hash, text_hash
from second_opinion.schemas.verdict import Decision, Outcome
from second_opinion.testing.traces import MemoryTraces, a_trace

documents = st.sampled_from("abc")


@given(
    rows=st.lists(st.tuples(documents, st.floats(0.0, 1.0)), max_size=12),
    floor=st.floats(0.0, 1.0),
    top_k=st.integers(1, 5),
    cap=st.integers(1, 3),
    query=st.none() | st.floats(0.0, 1.0),
)
def test_the_showable_are_enough_to_replay_any_floor(
    rows: Sequence[tuple[str, float]], floor: float, top_k: int, cap: int, query: float | None
) -> None:
    """What a floor shows is exactly what is showable and reaches it, and whose query reaches it."""
    ordered = sorted(rows, key=lambda row: -row[1])
    choices = QueryDefaults(floor=floor, top_k=top_k, chunks_per_document=cap)
    shown = [decision is Decision.KEPT for decision in decide(ordered, choices, query)]
    replayed = [
        can and deciding(relevance, query) >= floor
        for can, (_, relevance) in zip(showable(ordered, choices), ordered, strict=True)
    ]
    assert replayed == shown


shares = st.floats(0.0, 1.0)


@settings(deadline=None)
@given(
    relevances=st.lists(shares, max_size=8),
    query=st.none() | shares,
    floor=shares,
    other=st.none() | shares,
    top_k=st.integers(1, 9),
)
def test_a_replay_ends_as_judging_anew_does(
    relevances: list[float], query: float | None, floor: float, other: float | None, top_k: int
) -> None:
    """At its own floor a trace replays to its own outcome; at another to that of the same query asked with it."""
    ordered = sorted(relevances, reverse=True)
    at = floor if other is None else other
    traces = MemoryTraces()
    traces.write([a_trace("j1", *ordered, query_relevance=query, floor=floor, top_k=top_k)])
    (replayed,) = traces.spread(TraceScope(), [at]).floors
    judged = a_trace("j2", *ordered, query_relevance=query, floor=at, top_k=top_k)
    assert replayed.kept == judged.kept
    assert replayed.answered == (judged.outcome is Outcome.ANSWERED)


def test_a_trace_of_a_query_below_the_floor_says_what_decided() -> None:
    """Candidates keep their own relevance; what floors are tried on is the query's."""
    trace = a_trace("j1", 0.8, 0.5, 0.1, query_relevance=0.3, floor=0.4)
    assert (trace.outcome, trace.best_relevance, trace.query_relevance) == (Outcome.REFUSED, 0.3, 0.3)
    assert trace.relevances == (0.3, 0.3, 0.1)
    assert [(one.relevance, one.decision) for one in trace.candidates] == [
        (0.8, Decision.QUERY_BELOW_FLOOR),
        (0.5, Decision.QUERY_BELOW_FLOOR),
        (0.1, Decision.BELOW_FLOOR),
    ]


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
