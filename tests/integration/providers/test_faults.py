"""A provider that fails: each way of failing has its typed outcome, in time, and nothing is guessed."""

import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from second_opinion.pipeline.adapters.provider_calls import CallPolicy
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    OpinionError,
    ProviderAnswerInvalid,
    ProviderRefused,
    RerankUnavailable,
)
from tests.integration.providers.conftest import Opener, Provided
from tests.servers import faults
from tests.servers.faults import KEY, Fault, FaultyProvider

PASSAGES = ["first", "second", "third"]
GOOD = [1.0, 0.5, 1.0 / 3.0]

INVALID: dict[str, Fault] = {
    "an empty body": faults.text(""),
    "white space": faults.text(" \n"),
    "a web page": faults.text("<html><body>Welcome</body></html>"),
    "no JSON": faults.text("ok"),
    "null": faults.text("null"),
    "a number": faults.text("17"),
    "nothing in it": faults.text("{}"),
    "results that are no list": faults.text('{"results": {"0": 1.0}}'),
    "results of nothing": faults.text('{"results": [null, null, null]}'),
    "a bare number as result": faults.text("[1, 2, 3]"),
    "no scores": faults.spoiled(lambda items: items[:0]),
    "a doubled index": faults.spoiled(lambda items: [*items, items[0]]),
    "a doubled index in place of another": faults.spoiled(lambda items: [items[0], *items[:-1]]),
    "a missing index": faults.spoiled(lambda items: items[1:]),
    "an index out of range": faults.spoiled(lambda items: [*items[1:], {**items[0], "index": 3}]),
    "a negative index": faults.spoiled(lambda items: [*items[1:], {**items[0], "index": -1}]),
    "no index": faults.spoiled(lambda items: [*items[1:], {k: v for k, v in items[0].items() if k != "index"}]),
    "no score": faults.spoiled(lambda items: [*items[1:], {"index": 0}]),
    "a score of null": faults.scored(None),
    "a score of NaN": faults.scored(float("nan")),
    "an infinite score": faults.scored(float("inf")),
    "a score of 7": faults.scored(7),
    "a score below zero": faults.scored(-0.001),
    "a score in words": faults.scored("high"),
}

PASSING: dict[str, Fault] = {
    "busy": faults.status(429),
    "busy, come back at once": faults.status(429, retry_after="0"),
    "a refused token": faults.status(498),
    "given up": faults.status(499),
    "broken": faults.status(500),
    "a broken gateway": faults.text("<html>Bad gateway</html>", 502),
    "not there now": faults.status(503),
    "slow behind a gateway": faults.status(504),
    "a model that failed": faults.status(424, {"error": "inference failed", "error_type": "backend"}),
    "a hang": faults.hang,
    "a hang in the head": faults.hang_after(20),
    "a hang in the body": faults.hang_after(60),
    "a dropped connection": faults.drop,
    "a connection dropped in the middle": faults.drop_in_the_middle,
    "a slow drip": faults.drip_body,
    "a slow drip in the head": faults.drip_head,
}

REFUSED: dict[int, str] = {
    400: "Check",
    401: "API key",
    402: "payment",
    403: "may do",
    404: "model's name",
    302: "URL",
    501: "URL",
}


@pytest.mark.parametrize("fault", INVALID.values(), ids=INVALID.keys())
def test_an_unusable_answer_is_an_error_and_is_not_paid_for_twice(
    reranker: Provided, provider: FaultyProvider, fault: Fault
) -> None:
    """What is not one usable score for each passage gives no scores at all, and is asked for once."""
    provider.plan.append(fault)
    with pytest.raises(ProviderAnswerInvalid) as caught:
        reranker.score("question", PASSAGES)
    assert caught.value.transient
    assert len(provider.asked) == 1
    assert reranker.score("question", PASSAGES) == GOOD


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_what_may_pass_is_tried_again(reranker: Provided, provider: FaultyProvider, fault: Fault) -> None:
    """After two failures the third try is answered; there is no request besides those three."""
    provider.plan += [fault, fault]
    started = time.monotonic()
    assert reranker.score("question", PASSAGES) == GOOD
    assert time.monotonic() - started < 3.0
    assert len(provider.asked) == 3


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_what_does_not_pass_is_unavailable_in_time(reranker: Provided, provider: FaultyProvider, fault: Fault) -> None:
    """Three tries and no more: the SDK adds none of its own."""
    provider.always = fault
    started = time.monotonic()
    with pytest.raises(RerankUnavailable) as caught:
        reranker.score("question", PASSAGES)
    assert type(caught.value) is RerankUnavailable
    assert time.monotonic() - started < 4.0
    assert len(provider.asked) == 3


@pytest.mark.parametrize(("status", "hint"), REFUSED.items())
def test_a_refusal_is_final_and_says_what_to_do(
    reranker: Provided, provider: FaultyProvider, status: int, hint: str
) -> None:
    """One request, a permanent error, the provider's own words, and a hint that fits."""
    provider.always = faults.status(status, {"message": "it is not to be"})
    with pytest.raises(ProviderRefused, match=f"status {status}.*not to be") as caught:
        reranker.score("question", PASSAGES)
    assert hint in caught.value.hint
    assert len(provider.asked) == 1


def test_a_provider_that_is_not_there_is_unavailable(reranker: Provided, provider: FaultyProvider) -> None:
    """A refused connection is no answer, and the sentence says so."""
    provider.stop()
    with pytest.raises(RerankUnavailable, match="cannot be reached"):
        reranker.score("question", PASSAGES)


@pytest.mark.parametrize("in_words", [False, True], ids=["seconds", "a date"])
def test_retry_after_is_honoured(opened: Opener, provider: FaultyProvider, in_words: bool) -> None:
    """The pause is as long as the provider asks, in seconds or up to a date."""
    reranker = opened(CallPolicy(timeout=2.0, retries=1, patience=10.0, base=0.01))
    asked = format_datetime(datetime.now(UTC) + timedelta(seconds=2.2), usegmt=True) if in_words else "1"
    provider.plan.append(faults.status(429, retry_after=asked))
    started = time.monotonic()
    assert reranker.score("question", PASSAGES) == GOOD
    assert 1.0 <= time.monotonic() - started < 4.0
    assert len(provider.asked) == 2


def test_a_pause_beyond_our_patience_is_not_begun(opened: Opener, provider: FaultyProvider) -> None:
    """A provider that wants an hour is unavailable at once, and the error says for how long."""
    reranker = opened(CallPolicy(timeout=2.0, retries=5, patience=10.0))
    provider.always = faults.status(429, retry_after="3600")
    started = time.monotonic()
    with pytest.raises(RerankUnavailable) as caught:
        reranker.score("question", PASSAGES)
    assert time.monotonic() - started < 2.0
    assert caught.value.info().retry_after == 3600.0
    assert OpinionError.from_info(caught.value.info()).info() == caught.value.info()


@pytest.mark.alone
@pytest.mark.parametrize(
    "fault",
    [faults.hang, faults.drip_head, faults.status(429, retry_after="20")],
    ids=["a hang", "a slow drip", "a pause"],
)
def test_the_guard_is_asked_while_waiting(opened: Opener, provider: FaultyProvider, fault: Fault) -> None:
    """A deadline ends a request that hangs and a pause that is asked for, within a fraction of a second."""
    reranker = opened(CallPolicy(timeout=30.0, retries=2, patience=60.0))
    provider.always = fault
    over = time.monotonic() + 0.4

    def guard() -> None:
        if time.monotonic() >= over:
            raise DeadlineExceeded("time is up")

    with pytest.raises(DeadlineExceeded):
        reranker.score("question", PASSAGES, guard=guard)
    assert time.monotonic() - over < 0.5
    provider.always = None
    assert reranker.score("question", PASSAGES) == GOOD


def test_hanging_requests_do_not_pile_up(opened: Opener, provider: FaultyProvider) -> None:
    """Above the limit of requests under way a new one is refused at once instead of joining them."""
    reranker = opened(CallPolicy(timeout=30.0, retries=0, patience=60.0, most_at_once=2))
    provider.always = faults.hang
    asked_at_most = [0]

    def guard() -> None:
        asked_at_most[0] += 1
        if asked_at_most[0] > 2:
            raise DeadlineExceeded("time is up")

    for _ in range(2):
        asked_at_most[0] = 0
        with pytest.raises(DeadlineExceeded):
            reranker.score("question", PASSAGES, guard=guard)
    with pytest.raises(RerankUnavailable, match="2 requests are still waiting"):
        reranker.score("question", PASSAGES)


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(401, {"message": f"invalid api token: {KEY}"}),
        faults.status(422, {"detail": [{"msg": f"bad header Bearer {KEY}", "input": PASSAGES}]}),
        faults.status(500, {"error": {"message": f"cannot use {KEY}"}}),
        faults.text(f"<html>{KEY}</html>"),
        faults.text(f"{KEY} is no key", 403),
        faults.hang,
        faults.drop,
        faults.well,
    ],
    ids=["401", "422", "500", "a web page", "403 in plain text", "a hang", "a drop", "success"],
)
def test_the_key_is_sent_and_never_told(
    opened: Opener, provider: FaultyProvider, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """The key is in the request and nowhere else: no log line, error, cause, or representation has it."""
    caplog.set_level(logging.DEBUG)
    reranker = opened(CallPolicy(timeout=0.3, retries=1, patience=2.0, base=0.01))
    provider.always = fault
    told, causes = [], []
    try:
        reranker.score("question", PASSAGES)
    except OpinionError as problem:
        logging.getLogger("worker").exception("the reranker failed")
        causes += [problem.__cause__, problem.__context__]
        told += [str(problem), repr(problem), problem.hint, problem.info().model_dump_json()]
    assert causes in ([], [None, None])
    told += [caplog.text, repr(caplog.records), repr(reranker), repr(reranker.spec), repr(reranker._options)]
    assert provider.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert all(KEY not in text for text in told)
