"""How patient we are with providers, and that every error of the drivers becomes one of ours."""

import inspect

import cohere.errors
import httpx
import pytest
from cohere.core.api_error import ApiError

from second_opinion.pipeline.adapters.provider_answers import (
    from_status,
    readable,
    reason_of,
    scores_in_order,
    usage_of,
)
from second_opinion.pipeline.adapters.provider_calls import (
    CallPolicy,
    ProviderCalls,
    pause_before_retry,
    retry_after,
)
from second_opinion.pipeline.adapters.provider_http import HTTP_ERRORS, translated
from second_opinion.pipeline.ports import no_guard
from second_opinion.schemas.errors import (
    InternalError,
    OpinionError,
    ProviderAnswerInvalid,
    ProviderRefused,
    RerankUnavailable,
)

NOON = 1_772_971_200.0  # Sunday, 8 March 2026, 12:00 GMT
POLICY = CallPolicy(base=0.5, cap=8.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 17 ", 17.0),
        ("999999999999999999999", 999_999_999.0),
        ("-3", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Sun, 08 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 08 Mar 2026 13:01:30 +0100", 90.0),
        ("Sun, 08 Mar 2026 12:01:30", 90.0),
        ("Sun, 08 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 99 Mar 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    """Seconds and dates are understood; what is neither asks for nothing; the past asks for no wait."""
    assert retry_after(header, now=NOON) == seconds


@pytest.mark.parametrize(
    ("attempt", "asked", "jitter", "seconds"),
    [
        (1, None, 0.0, 0.0),
        (1, None, 0.5, 0.25),
        (2, None, 0.5, 0.5),
        (3, None, 0.5, 1.0),
        (9, None, 0.5, 4.0),
        (1, 3.0, 0.0, 3.0),
        (1, 3.0, 0.5, 3.25),
        (9, 60.0, 0.5, 60.25),
    ],
)
def test_pauses_grow_and_are_spread(attempt: int, asked: float | None, jitter: float, seconds: float) -> None:
    """Our own pauses double up to the cap and are spread from zero on; one that is asked for is never cut short."""
    assert pause_before_retry(attempt, asked, POLICY, jitter=jitter) == pytest.approx(seconds)


def http_errors() -> list[type[Exception]]:
    """Return every exception class of httpx that a request can raise."""
    found = {one for one in vars(httpx).values() if inspect.isclass(one) and issubclass(one, Exception)}
    return sorted(found - {httpx.CookieConflict, httpx.HTTPStatusError}, key=lambda one: one.__name__)


@pytest.mark.parametrize("kind", http_errors(), ids=lambda one: one.__name__)
def test_no_error_of_httpx_is_missed(kind: type[Exception]) -> None:
    """Each is among those that are caught, and has a type of ours that says what to do; its text is not repeated."""
    assert issubclass(kind, HTTP_ERRORS)
    problem = kind() if issubclass(kind, httpx.StreamError) and kind is not httpx.StreamError else kind("sk-secret")
    ours = translated("the provider", problem)
    assert isinstance(ours, RerankUnavailable | ProviderRefused)
    assert "sk-secret" not in ours.message
    assert ours.hint


@pytest.mark.parametrize(
    "kind", [getattr(cohere.errors, name) for name in cohere.errors.__all__], ids=lambda one: one.__name__
)
def test_every_error_of_the_sdk_has_its_type(kind: type[ApiError]) -> None:
    """Those of a status below 500 but the waiting ones are final; the others may pass."""
    status = kind(body={"message": "no"}).status_code or 0
    ours = from_status("Cohere", status, "no")
    assert type(ours) is (RerankUnavailable if status in {429, 498, 499, 500, 503, 504} else ProviderRefused)
    assert ours.transient == isinstance(ours, RerankUnavailable)


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_an_error(status: int) -> None:
    """Whatever a provider answers, there is an error of ours with a hint, and it survives as data."""
    ours = from_status("the provider", status, "because", retry_after=2.0)
    assert ours.hint
    again = OpinionError.from_info(ours.info())
    assert type(again) is type(ours)
    assert again.info() == ours.info()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": "invalid api token"}, "invalid api token"),
        ({"error": "too many", "error_type": "Overloaded"}, "too many"),
        ({"error": {"message": "no such model", "type": "NotFound"}}, "no such model"),
        ({"detail": [{"msg": "field required", "input": ["the whole document"]}]}, "field required"),
        ({"detail": []}, ""),
        ("plain\n  words", "plain words"),
        (" <html>the whole page</html>", "it sent a web page"),
        (["first", "second"], "first"),
        ([], ""),
        (None, ""),
        (17, ""),
        ({"message": "key abc123 is wrong"}, "key [key] is wrong"),
        ("x" * 900, "x" * 200),
    ],
)
def test_the_reason_is_one_line_without_secrets(body: object, reason: str) -> None:
    """Of an error's body only what it says is told: not what was sent, and not the key."""
    assert reason_of(body, "abc123") == reason


@pytest.mark.parametrize("value", [None, "1", True, -1, float("nan"), float("inf"), {}])
def test_a_cost_that_is_no_number_counts_as_nothing(value: object) -> None:
    """Usage is for the record; what cannot be counted does not fail a query."""
    usage = usage_of({"meta": {"billed_units": {"search_units": value}}, "usage": {"total_tokens": value}})
    assert (usage.requests, usage.search_units, usage.tokens) == (1, 0.0, 0)
    assert usage_of({"meta": value, "usage": value}).search_units == 0.0


@pytest.mark.parametrize("index", [None, "0", 0.0, True, 3, -1])
def test_an_index_is_a_whole_number_in_range(index: object) -> None:
    """Nothing is converted into one."""
    with pytest.raises(ProviderAnswerInvalid):
        scores_in_order([{"index": index, "score": 0.5}], 1, scale="probability", provider="it")


@pytest.mark.parametrize("score", [None, "0.5", True, [], float("nan"), float("-inf"), 10**400])
def test_a_score_is_a_finite_number(score: object) -> None:
    """Nothing is converted into one, on any scale."""
    with pytest.raises(ProviderAnswerInvalid):
        scores_in_order([{"index": 0, "score": score}], 1, scale="logit", provider="it")


def test_odd_characters_can_be_sent() -> None:
    """Half of a surrogate pair becomes a question mark; everything else stays."""
    assert readable("a \ud800 \x00 é") == "a ? \x00 é"


def test_a_defect_of_ours_is_told_without_its_details() -> None:
    """An exception that nobody expected ends the call with its name only, and does not leave the caller waiting."""

    def request() -> None:
        raise ZeroDivisionError("sk-secret")

    calls = ProviderCalls("it", CallPolicy())
    with pytest.raises(InternalError, match="ZeroDivisionError") as caught:
        calls.call(request, until=calls.patience(), guard=no_guard)
    assert "sk-secret" not in caught.value.message
    assert caught.value.__cause__ is None
