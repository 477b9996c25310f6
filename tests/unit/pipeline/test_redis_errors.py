"""The driver's errors become ours in one place, and none is missed."""

import inspect

import pytest
from redis import exceptions as driver

from second_opinion.pipeline.adapters.redis.connection import connect, mapped, redis_errors
from second_opinion.schemas.errors import InternalError, JobStoreUnavailable, OpinionError

DEFECTS = {
    driver.ChildDeadlockedError,
    driver.DataError,
    driver.IncorrectPolicyType,
    driver.NoScriptError,
    driver.PubSubError,
}
ERRORS = [kind for _, kind in inspect.getmembers(driver, inspect.isclass) if issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_driver_is_mapped(kind: type[Exception]) -> None:
    """Whatever class the driver has: a moment may cure it, or it is a defect; it never leaves as it is."""
    problem = kind.__new__(kind)
    problem.args = ("broke",)
    with pytest.raises(OpinionError) as caught, redis_errors():
        raise problem
    assert type(caught.value) is (InternalError if kind in DEFECTS else JobStoreUnavailable)
    assert caught.value.hint
    assert caught.value.__cause__ is problem


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", InternalError),
        ("MISCONF Redis is configured to save RDB snapshots", JobStoreUnavailable),
        ("OOM command not allowed when used memory > 'maxmemory'", JobStoreUnavailable),
        ("BUSY Redis is busy running a script", JobStoreUnavailable),
    ],
)
def test_a_reply_is_told_by_its_first_word(reply: str, expected: type[OpinionError]) -> None:
    """A full or busy server is worth another try; a key of the wrong type is not."""
    assert type(mapped(driver.ResponseError(reply))) is expected


@pytest.mark.parametrize(
    "problem",
    [
        driver.AuthenticationError("invalid username-password pair"),
        driver.NoPermissionError("this user has no permissions"),
        driver.ResponseError("WRONGPASS invalid username-password pair"),
    ],
)
def test_a_wrong_password_says_where_to_look(problem: Exception) -> None:
    """The hint names the setting."""
    assert "OPINION_JOBS_URL" in mapped(problem).hint


def test_a_server_that_is_not_there_is_named_an_unavailable_store() -> None:
    """Nothing listens on port 1."""
    client = connect("redis://127.0.0.1:1/0", timeout=0.5)
    with pytest.raises(JobStoreUnavailable, match="refused"), redis_errors():
        client.ping()
