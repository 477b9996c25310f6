"""Promises under simulation: how many seeds, crash points and pairs of them, and how many broke a promise.

    ./do bench simulation --seeds 10000

Everything runs in one process on the doubles, under virtual time, with no server and no model; the seconds are
processor time. A broken promise ends the run, named with the seed that repeats it.
"""

import argparse
import sys
import time

from record import environment_of, write_result

from second_opinion.testing.simulation import Report, simulate
from second_opinion.testing.simulation.crash_points import KINDS, every_call, pairs

CONFIDENCE_95 = 3.0
"""The rule of three: with no failure in n runs, at most 3 in n runs fail, at 95 % confidence."""


def main() -> None:
    """Run everything and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=500)
    arguments = parser.parse_args()
    told = environment_of(sys.argv)
    seeds, crashes = _seeds(arguments.seeds), _crashes(arguments.pairs)
    write_result("simulation", {"environment": told, "seeds": seeds, "crash_points": crashes})


def _seeds(count: int) -> dict[str, float]:
    started, faults, calls, commits, settled = time.process_time(), [], 0, 0, 0.0
    for seed in range(count):
        report: Report = simulate(seed)
        if report.violations:
            raise SystemExit(f"seed {seed} breaks: {report.violations}")
        faults.append(len(report.faults))
        calls, commits = calls + report.calls, commits + report.commits
        settled = max(settled, report.settled_after)
    return {
        "seeds": count,
        "broken_promises": 0,
        "bound_on_broken_seeds": CONFIDENCE_95 / count,
        "faults": sum(faults),
        "fewest_faults_of_a_seed": min(faults),
        "calls": calls,
        "commits": commits,
        "longest_settling_virtual_seconds": round(settled),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def _crashes(count: int) -> dict[str, float]:
    started = time.process_time()
    single = [run for kind in KINDS for run in every_call(kind)]
    calls = len(single) // len(KINDS)
    runs = [*single, *pairs(count, within=calls)]
    broken = [run for run in runs if run.violations]
    if broken:
        raise SystemExit(f"crashes break promises: {broken[:3]}")
    return {
        "calls": calls,
        "crashes_one_at_a_time": len(single),
        "pairs": count,
        "broken_promises": 0,
        "cpu_seconds": round(time.process_time() - started, 1),
    }


if __name__ == "__main__":
    main()
