"""What a call may take in all."""

import time

from second_opinion.pipeline.time_budget import left, within


def test_without_a_limit_a_step_has_its_own() -> None:
    """Workers, for example, set none."""
    assert left(7.0) == 7.0


def test_a_step_has_no_more_than_is_left() -> None:
    """A step's own limit holds where it is the lesser."""
    with within(5.0):
        assert left(1.0) == 1.0
        assert 4.0 < left(60.0) <= 5.0
    assert left(60.0) == 60.0


def test_the_sooner_of_two_limits_holds() -> None:
    """Whatever a call calls cannot give itself more time than the call has."""
    with within(1.0), within(60.0):
        assert left(60.0) <= 1.0
    with within(60.0):
        with within(1.0):
            assert left(60.0) <= 1.0
        assert left(60.0) > 50.0


def test_what_is_over_is_never_below_zero() -> None:
    """A negative timeout would be an error, or for ever."""
    with within(0.0):
        time.sleep(0.01)
        assert left(1.0) == 0.0
