"""Whole systems on the doubles, each under a seed: everything goes wrong, and every promise is kept."""

import os
import subprocess
import sys

import pytest

from second_opinion.testing.simulation import simulate

SEEDS = 500
REPLAYED = 100
LEAST_FAULTS = 20


def test_five_hundred_seeds_keep_every_promise() -> None:
    """No seed breaks a promise; in each, at least twenty things went wrong."""
    reports = [simulate(seed) for seed in range(SEEDS)]
    broken = {report.seed: report.violations for report in reports if report.violations}
    assert not broken, f"see: python -m second_opinion.testing.simulation --seed {min(broken)}"
    counts = [len(report.faults) for report in reports]
    assert min(counts) >= LEAST_FAULTS


def test_the_same_seed_is_the_same_run() -> None:
    """A hundred seeds replay to identical traces."""
    for seed in range(REPLAYED):
        assert simulate(seed).digest == simulate(seed).digest


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_a_seed_is_the_same_run_in_every_process(hash_seed: str) -> None:
    """What a seed does depends neither on the process nor on Python's hashing."""
    code = "from second_opinion.testing.simulation import simulate; print(*(simulate(s).digest for s in range(5)))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [simulate(seed).digest for seed in range(5)]
