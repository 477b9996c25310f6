"""Rerankers in their order, and what is left when none can be had."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from second_opinion.pipeline.answer import JudgementParts
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.guarded_reranker import GuardedReranker, RateAdmission
from second_opinion.pipeline.metering import Ledger
from second_opinion.pipeline.panel import Panel, judge_by_panel, unjudged
from second_opinion.pipeline.ports import Guard, Meter, no_guard
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    JobCancelled,
    OpinionError,
    ProviderAnswerInvalid,
    ProviderRefused,
    RerankRateLimited,
    RerankUnavailable,
    TextUnreadable,
)
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.usage import RerankUsage
from second_opinion.schemas.verdict import CalibrationSource, Outcome, QueryResult
from second_opinion.testing.breakers import MemoryBreaker, MemoryRateLimit
from second_opinion.testing.builders import a_fused, a_handover, a_query
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.models import WordReranker
from second_opinion.testing.usage import MemoryUsage

CLOCK = ManualClock()
CALL = RerankUsage(requests=1, search_units=1.5)


class Provider:
    """Counts words as the double does, unless it is told to fail."""

    def __init__(self, problem: OpinionError | None = None) -> None:
        self.spec = WordReranker().spec
        self.problem = problem
        self.calls = 0

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Answer, or fail."""
        self.calls += 1
        if self.problem is not None:
            raise self.problem
        return WordReranker().score(query, passages, guard=guard)


def a_panel(**providers: Provider) -> Panel:
    return Panel({name: JudgementParts(one, NoCalibration("logit")) for name, one in providers.items()})


class Billed(Provider):
    """Counts words, and says what each call cost, whether it can be used or not."""

    def score_metered(
        self, query: str, passages: Sequence[str], *, meter: Meter, guard: Guard = no_guard
    ) -> list[float]:
        """Answer, or fail; it is paid for either way."""
        for _ in passages:
            meter(CALL)
        return self.score(query, passages, guard=guard)


def billed_panel(book: MemoryUsage, **providers: Provider) -> Panel:
    """Return providers behind their breakers, with the book of the day."""
    breaker = MemoryBreaker(clock=CLOCK)
    guarded = {name: GuardedReranker(one, name, breaker, book) for name, one in providers.items()}
    return Panel({name: JudgementParts(one, NoCalibration("logit")) for name, one in guarded.items()})


def ask(panel: Panel, ledger: Ledger | None = None, **choices: object) -> QueryResult:
    now = CLOCK.now()
    job = Job(
        job_id="job-1",
        state=JobState.RERANKING,
        query=a_query("take one tablet", **choices),
        submitted_at=now,
        expires_at=now + 60.0,
    )
    return judge_by_panel(job, a_handover(a_fused(1), a_fused(2)), panel, clock=CLOCK, ledger=ledger)


def away() -> Provider:
    return Provider(RerankUnavailable("it does not answer", retry_after=9.0))


def test_the_first_that_can_be_had_judges() -> None:
    """The result names it, and those that were asked before it; nobody behind it is asked."""
    last = Provider()
    result = ask(a_panel(first=away(), second=Provider(), last=last))
    assert (result.outcome, result.judged_by, result.unavailable) == (Outcome.ANSWERED, "second", ("first",))
    assert last.calls == 0
    assert ask(a_panel(first=Provider())).unavailable == ()


def test_a_provider_that_refuses_us_is_passed_over_too() -> None:
    """A revoked key is no reason to have no answer where another reranker stands by."""
    assert ask(a_panel(first=Provider(ProviderRefused("401")), second=Provider())).judged_by == "second"


def test_naming_one_means_that_one() -> None:
    """A named reranker is not silently replaced; several names are an order of one's own."""
    panel = a_panel(first=Provider(), second=away(), third=Provider())
    assert ask(panel, reranker="third").judged_by == "third"
    assert ask(panel, reranker="second,third").judged_by == "third"
    with pytest.raises(RerankUnavailable, match="it does not answer"):
        ask(panel, reranker="second")
    with pytest.raises(RerankUnavailable, match=r"does not serve other; it serves first, second, third"):
        ask(panel, reranker="other")


def test_when_none_can_be_had_all_are_named() -> None:
    """The error tells what each said, and the shortest wait; it is transient while any of them may come back."""
    with pytest.raises(RerankUnavailable, match="first: it does not answer; second: 401") as caught:
        ask(a_panel(first=away(), second=Provider(ProviderRefused("401"))))
    assert caught.value.retry_after == 9.0
    with pytest.raises(ProviderAnswerInvalid, match="first: a web page; second: 401"):
        ask(a_panel(first=Provider(ProviderAnswerInvalid("a web page")), second=Provider(ProviderRefused("401"))))
    with pytest.raises(ProviderRefused, match="one: 401; two: 403"):
        ask(a_panel(one=Provider(ProviderRefused("401")), two=Provider(ProviderRefused("403"))))


def test_what_was_paid_is_in_the_result_by_reranker() -> None:
    """Several calls add up, one asked in vain is told apart from the one that judged, and the day's book agrees."""
    book = MemoryUsage(clock=CLOCK)
    panel = billed_panel(book, far=Billed(ProviderAnswerInvalid("a web page")), near=Billed(), last=Billed())
    result = ask(panel)
    spent = {one.name: one for one in result.usage}
    assert {name: (one.requests, one.search_units, one.unusable) for name, one in spent.items()} == {
        "far": (2, 3.0, 1),
        "near": (2, 3.0, 0),
    }
    assert spent["near"].reranker == result.reranker
    assert result.unavailable_because == {"far": "provider_answer_invalid"}
    assert [(one.name, one.requests, one.unusable) for one in book.read(1)] == [("far", 2, 1), ("near", 2, 0)]
    assert QueryResult.model_validate_json(result.model_dump_json()) == result


def test_what_costs_nothing_has_no_usage() -> None:
    """A local reranker is not metered."""
    assert ask(a_panel(first=Provider())).usage == ()


def test_an_unusable_answer_is_bought_twice_at_most() -> None:
    """However often the query comes back, a third answer is not paid for; others have their turn at once."""
    spoiled = Billed(ProviderAnswerInvalid("a web page"))
    panel, ledger = billed_panel(MemoryUsage(clock=CLOCK), far=spoiled, near=away()), Ledger()
    for _ in range(4):
        with pytest.raises(RerankUnavailable):
            ask(panel, ledger)
        ledger = Ledger(ledger.usage)
    assert spoiled.calls == 2
    with pytest.raises(ProviderAnswerInvalid, match="answered 2 times"):
        ask(panel, ledger, reranker="far")
    assert ledger.usage[0].search_units == 6.0


def test_a_refusal_is_loud() -> None:
    """Another reranker may judge, but the log, the breaker's state and the result say who refused."""
    breaker = MemoryBreaker(clock=CLOCK)
    refusing = GuardedReranker(Provider(ProviderRefused("it does not know the key")), "far", breaker)
    panel = Panel({"far": JudgementParts(refusing, NoCalibration("logit")), **a_panel(near=Provider()).members})
    with capture_logs() as lines:
        result = ask(panel)
    assert (result.judged_by, result.unavailable_because) == ("near", {"far": "provider_refused"})
    assert [(line["event"], line["log_level"], line["reranker"]) for line in lines] == [
        ("provider_refused", "error", "far")
    ]
    assert breaker.state("far").refusal == "it does not know the key"


@pytest.mark.parametrize("problem", [TextUnreadable("x"), JobCancelled("x"), DeadlineExceeded("x")])
def test_other_failures_are_not_passed_over(problem: OpinionError) -> None:
    """A job that is cancelled, late or has a text that breaks a model ends with its own error."""
    with pytest.raises(type(problem)):
        ask(a_panel(first=Provider(problem), second=Provider()))


@given(st.integers(0, 20), st.integers(1, 100), st.floats(0.0, 1.0), st.sampled_from(["fail", "wait", "fused"]))
def test_the_unjudged_are_never_answers(candidates: int, top_k: int, floor: float, choice: str) -> None:
    """No choice makes an answer of what nobody judged: nothing is kept or has a relevance, and the outcome says so."""
    now = CLOCK.now()
    query = a_query(top_k=top_k, floor=floor, on_unavailable=choice)
    job = Job(job_id="job-1", state=JobState.RERANKING, query=query, submitted_at=now, expires_at=now + 1.0)
    handover = a_handover(*(a_fused(rank) for rank in range(1, candidates + 1)))
    result = unjudged(job, handover, RerankUnavailable("it does not answer"), clock=CLOCK)
    assert (result.outcome, result.reranked, result.kept, result.dropped) == (Outcome.UNJUDGED, False, (), ())
    assert (result.best_relevance, result.calibration, result.reranker) == (None, CalibrationSource.NONE, "")
    assert [one.fused_rank for one in result.unscored] == list(range(1, candidates + 1))
    assert sum(bool(one.text) for one in result.unscored) == min(top_k, candidates)
    assert "relevance" not in result.model_dump()["unscored"][0] if candidates else True
    assert QueryResult.model_validate_json(result.model_dump_json()) == result
    assert "it does not answer" in result.sentence


def test_a_breaker_saves_the_calls_to_a_dead_provider() -> None:
    """After enough failures it is not called; the next one judges at once. After the cool-down one probe is made."""
    clock = ManualClock()
    breaker = MemoryBreaker(clock=clock, threshold=2, cool_down=10.0)
    dead = away()
    parts = JudgementParts(GuardedReranker(dead, "far", breaker), NoCalibration("logit"))
    panel = Panel({"far": parts, **a_panel(near=Provider()).members})
    assert [ask(panel).judged_by for _ in range(5)] == ["near"] * 5
    assert dead.calls == 2
    with pytest.raises(RerankUnavailable, match="left alone for 10 s"):
        ask(panel, reranker="far")
    dead.problem = None
    clock.advance(10.1)
    assert ask(panel).judged_by == "far"
    assert breaker.state("far").failures == 0


@pytest.mark.parametrize(
    ("problem", "counts"),
    [
        (RerankUnavailable("x"), True),
        (RerankRateLimited("x"), False),
        (ProviderRefused("x"), False),
        (JobCancelled("x"), False),
        (DeadlineExceeded("x"), False),
    ],
)
def test_what_counts_as_a_failure(problem: OpinionError, counts: bool) -> None:
    """Only what may pass by itself, and is not of our own making."""
    breaker = MemoryBreaker(clock=ManualClock())
    guarded = GuardedReranker(Provider(problem), "far", breaker)
    with pytest.raises(type(problem)):
        guarded.score("q", ["p"])
    assert breaker.state("far").failures == int(counts)


def test_a_request_waits_a_moment_for_the_rate_limit() -> None:
    """A short wait is slept through under the guard; a long one counts as not to be had."""
    clock = ManualClock()
    admit = RateAdmission(MemoryRateLimit(clock=clock), "far", 60.0, clock=clock)
    started = clock.now()
    asked = 0

    def guard() -> None:
        nonlocal asked
        asked += 1

    for _ in range(61):
        admit(guard)
    assert clock.now() - started == pytest.approx(1.0, abs=0.06)
    assert asked > 10
    slow = RateAdmission(MemoryRateLimit(clock=clock), "slow", 1.0, clock=clock)
    slow(guard)
    with pytest.raises(RerankRateLimited, match="all 1 requests a minute to slow"):
        slow(guard)


def test_a_cancelled_job_does_not_wait_for_the_rate_limit() -> None:
    """The guard is asked while it waits."""
    clock = ManualClock()
    admit = RateAdmission(MemoryRateLimit(clock=clock), "far", 60.0, clock=clock)

    def cancelled() -> None:
        raise JobCancelled("no longer wanted")

    calls: list[Callable[[], None]] = [lambda: admit(no_guard)] * 60
    for call in calls:
        call()
    with pytest.raises(JobCancelled):
        admit(cancelled)
