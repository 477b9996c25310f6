"""A query in a hurry: what was read in time is judged, and nothing else is ever shown."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from second_opinion.pipeline.answer import JudgementParts, judge_candidates
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.ports import Guard, TimeIsOver, no_guard
from second_opinion.pipeline.tracing import trace
from second_opinion.pipeline.why import Standing, explain
from second_opinion.schemas.errors import DeadlineExceeded
from second_opinion.schemas.explanation import Fate
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import Query
from second_opinion.schemas.verdict import Decision, Outcome, QueryResult
from second_opinion.testing.builders import a_fused, a_handover, a_query
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.models import WordReranker


class SlowReranker(WordReranker):
    """Needs ten milliseconds for a passage."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> list[float | None]:
        """Read one after the other, each in its time."""
        scores: list[float | None] = []
        for passage in passages:
            self._clock.advance(0.0 if is_over and is_over() else 0.01)
            scores += super().score_in_time(query, [passage], is_over=is_over, guard=guard)
        return scores


class WholeReranker:
    """A provider: all or nothing, a tenth of a second a call."""

    def __init__(self, clock: ManualClock) -> None:
        self.spec = WordReranker().spec
        self._clock = clock

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Answer after a while, unless nobody waits any more."""
        self._clock.advance(0.1)
        guard()
        return WordReranker().score(query, passages)


def a_hurried_job(clock: ManualClock, milliseconds: int, **choices: float) -> Job:
    """Return a job submitted just now."""
    now = clock.now()
    query: Query = a_query("take one tablet", **choices).model_copy(update={"answer_by": now + milliseconds / 1_000})
    return Job(
        job_id="job-1", state=JobState.RERANKING, query=query, submitted_at=now, expires_at=now + milliseconds / 1_000
    )


def ask(milliseconds: int, candidates: int, **choices: float) -> tuple[Job, QueryResult]:
    """Judge candidates that all answer the question, as far as there is time."""
    clock = ManualClock()
    job = a_hurried_job(clock, milliseconds, **choices)
    parts = JudgementParts(reranker=SlowReranker(clock), calibration=NoCalibration("logit"))
    handover = a_handover(*(a_fused(rank) for rank in range(1, candidates + 1)))
    result = judge_candidates(job, handover, parts, clock=clock)
    assert clock.now() <= job.expires_at, "nothing is left for storing the answer"
    return job, result


def test_what_was_read_in_time_is_judged() -> None:
    """The first of the fused order are read; the result counts them and says so."""
    _, result = ask(200, 100)
    assert result.outcome is Outcome.ANSWERED
    assert result.partial
    assert result.scored == len(result.kept) + len(result.dropped) == 100 - len(result.unscored)
    assert {one.fused_rank for one in (*result.kept, *result.dropped)} == set(range(1, result.scored + 1))
    assert {one.text for one in result.unscored} == {""}
    assert f"Only {result.scored} of 100 candidates were read before the deadline." in result.sentence
    shown = result.model_dump(mode="json")
    assert (shown["partial"], shown["scored"], shown["reranked"]) == (True, result.scored, True)


def test_enough_time_leaves_nothing_out() -> None:
    """A deadline far away changes nothing about the answer."""
    _, result = ask(60_000, 20)
    assert (result.partial, result.scored, result.unscored) == (False, 20, ())
    assert "deadline" not in result.sentence


def test_a_partial_refusal_says_that_it_is_partial() -> None:
    """A refusal of what was read is not a refusal of what was found, and the sentence tells."""
    _, result = ask(200, 100, floor=1.0)
    assert (result.outcome, result.kept) == (Outcome.REFUSED, ())
    assert result.sentence.startswith("Nothing cleared 1.0")
    assert result.sentence.endswith("candidates were read before the deadline.")


@pytest.mark.parametrize("milliseconds", [1, 15])
def test_nothing_read_in_time_is_no_refusal(milliseconds: int) -> None:
    """Without a single score there is no verdict: the deadline is what failed."""
    with pytest.raises(DeadlineExceeded, match="none of 5"):
        ask(milliseconds, 5)


def test_a_provider_answers_whole_or_not_at_all() -> None:
    """A reranker that cannot stop half way is held to the same deadline by its guard."""
    clock = ManualClock()
    parts = JudgementParts(reranker=WholeReranker(clock), calibration=NoCalibration("logit"))
    handover = a_handover(a_fused(1), a_fused(2))
    result = judge_candidates(a_hurried_job(clock, 150), handover, parts, clock=clock)
    assert (result.partial, result.scored) == (False, 2)
    with pytest.raises(DeadlineExceeded):
        judge_candidates(a_hurried_job(clock, 90), handover, parts, clock=clock)


@given(
    milliseconds=st.integers(40, 2_000),
    candidates=st.integers(1, 60),
    floor=st.floats(0.0, 1.0),
    top_k=st.integers(1, 100),
    cap=st.integers(1, 50),
)
def test_the_unscored_are_never_kept(milliseconds: int, candidates: int, floor: float, top_k: int, cap: int) -> None:
    """No deadline, floor or cap makes an unread candidate part of an answer, and none is lost from the account."""
    _, result = ask(milliseconds, candidates, floor=floor, top_k=top_k, chunks_per_document=cap)
    read = {one.chunk_id for one in (*result.kept, *result.dropped)}
    unread = {one.chunk_id for one in result.unscored}
    assert not read & unread
    assert len(read) + len(unread) == candidates
    assert {one.decision for one in result.unscored} <= {Decision.UNSCORED}
    assert all(one.decision is Decision.KEPT and one.relevance >= floor for one in result.kept)
    assert all(one.decision is not Decision.UNSCORED for one in result.dropped)


def test_the_trace_holds_what_was_read() -> None:
    """A floor is chosen from scores: candidates without one are counted and left out."""
    job, result = ask(200, 100)
    handover = a_handover(*(a_fused(rank) for rank in range(1, 101)))
    made = trace(job, result, handover.fusion.candidates, at=1.0)
    assert (len(made.candidates), made.unscored) == (result.scored, len(result.unscored))


def test_why_names_the_deadline() -> None:
    """A document whose only chunk was not read is told so, with its place in the fused order."""
    job, result = ask(200, 100)
    done = job.model_copy(update={"state": JobState.DONE, "result": result})
    found = explain(done, "document-100", Standing(record=None))
    assert (found.fate, found.passages) == (Fate.UNSCORED, ())
    assert "fused rank 100" in found.sentence
