"""Replacing workers under load fails no query; what grows over time is told from what does not.

The long form is `./do bench soak --minutes 30`.
"""

import random
from pathlib import Path

import pytest

from tests.conftest import Servers
from tests.faults.own_system import OwnSystem
from tests.faults.slopes import course, slope, slopes
from tests.faults.soak import GROWTH, Replaced, Soak, ended_late, growing

MINUTES = [60.0 * minute for minute in range(30)]


def noisy(start: float, per_hour: float, noise: float) -> list[float]:
    chance = random.Random(1)  # noqa: S311 - the same noise each time
    return [start + per_hour * at / 3_600 + chance.gauss(0.0, noise) for at in MINUTES]


def test_a_slope_is_that_of_least_squares() -> None:
    """By hand: values 1, 3, 2 and 5 at hours 0 to 3 rise by 1.1 an hour, give or take .520."""
    found = slope([0.0, 3_600.0, 7_200.0, 10_800.0], [1.0, 3.0, 2.0, 5.0])
    assert (found.samples, found.mean) == (4, 2.75)
    assert found.per_hour == pytest.approx(1.1)
    assert found.standard_error == pytest.approx((2.7 / 2 / 5) ** 0.5)


def test_a_leak_is_told_from_noise() -> None:
    """A series that grows by a tenth in an hour is named; what wavers is not, nor what falls or takes a step."""
    series = {
        "leak": noisy(200.0, 20.0, 0.5),
        "noise": noisy(200.0, 0.0, 4.0),
        "shrinks": noisy(200.0, -40.0, 0.5),
        "constant": [31.0] * 30,
        "step": [31.0] * 9 + [35.0] * 21,
    }
    samples = [{"seconds": at, **{name: series[name][place] for name in series}} for place, at in enumerate(MINUTES)]
    assert slopes(samples)["step"].is_growing(GROWTH)
    assert growing(samples) == ["leak"]


def test_the_course_of_a_series_is_its_means() -> None:
    """In parts of as many samples."""
    samples = [{"seconds": float(at), "keys": float(at)} for at in range(7)]
    assert course(samples, "keys", 3) == [0.5, 2.5, 5.0]


def test_too_few_samples_are_no_slope() -> None:
    """Two points lie on every line."""
    with pytest.raises(ValueError, match="2 samples"):
        slope([0.0, 1.0], [1.0, 2.0])


def test_workers_that_did_not_end_in_time_are_named() -> None:
    """Neither one that was killed in the end, nor one that ended with an error, has ended by itself."""
    well, killed, broken = Replaced("index", 2.0, 0), Replaced("rerank", 46.0, -9), Replaced("intake", 1.0, 70)
    assert ended_late([well, killed, broken]) == [killed, broken]


@pytest.mark.alone
@pytest.mark.stack
def test_workers_are_replaced_under_load(servers: Servers, tmp_path: Path) -> None:
    """Both roles of a query are replaced while queries come by the clock: none fails, and everything is sampled."""
    roles = ("index", "retrieve", "rerank")
    system = OwnSystem(tmp_path, servers.elasticsearch_url, roles=roles, name="soak")
    with system.running() as client:
        soak = Soak(system, client, callers=6, candidates=5)
        soak.fill()
        rate = soak.capacity(3.0) / 2
        rolled = soak.under_load(rate, lambda: [soak.replace(role) for role in ("retrieve", "rerank")])
        steady = soak.under_load(rate, lambda: soak.watch(4.0, every=1.0))
    assert (rolled.failed, steady.failed) == ([], [])
    assert min(len(rolled.seconds), len(steady.seconds)) > 0
    assert ended_late(soak.replaced) == []
    found = slopes(soak.settled(after=0.0))
    assert {f"{role} resident MB" for role in roles} < set(found)
    assert found["redis keys"].mean > 0
    assert found["rerank threads"].mean > 2
