"""Run simulations: python -m second_opinion.testing.simulation --seeds 10000 --into simulation.json."""

import json
import time
from collections.abc import Collection
from pathlib import Path

import click

from second_opinion.testing.simulation.crash_points import KINDS, every_call, pairs
from second_opinion.testing.simulation.run import Report, simulate

TRACE_LINES = 80
PAIRS = 500


@click.command()
@click.option("--seeds", default=500, show_default=True, help="How many seeds, from --first on.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="One seed only, told whole.")
@click.option("--crash-points", is_flag=True, help="A crash at every call, and at 500 pairs, in place of seeds.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="A JSON file for the figures.")
def main(seeds: int, first: int, seed: int | None, *, crash_points: bool, into: Path | None) -> None:
    """Run seeds; tell of the first broken promise with the fewest faults that break it, and end with 1."""
    if seed is not None:
        seeds, first = 1, seed
    started = time.process_time()
    if crash_points:
        _tell(_crash_figures(started), into)
        return
    reports: list[Report] = []
    for number in range(first, first + seeds):
        reports.append(simulate(number))
        if reports[-1].violations:
            explain(number)
            raise SystemExit(1)
    seconds = time.process_time() - started
    _tell(_figures(reports, first, seconds), into)


def explain(seed: int) -> None:
    """Tell of a broken promise: the faults without which it would have been kept, and what led to it."""
    spared = fewest_faults(seed)
    report = simulate(seed, spared=spared, traced=True)
    click.echo(f"seed {seed} breaks:")
    for sentence in report.violations:
        click.echo(f"  {sentence}")
    click.echo("with these faults:")
    for number, told in sorted(report.faults.items()):
        click.echo(f"  {number}: {told}")
    click.echo(f"the last calls of {len(report.trace)}:")
    for line in report.trace[-TRACE_LINES:]:
        click.echo(f"  {line}")


def fewest_faults(seed: int) -> Collection[int]:
    """Return the faults that can be spared, one after the other, with a promise still broken."""
    spared: set[int] = set()
    for number in sorted(simulate(seed).faults):
        if simulate(seed, spared=spared | {number}).violations:
            spared.add(number)
    return spared


def _tell(figures: dict[str, float], into: Path | None) -> None:
    click.echo(json.dumps(figures, indent=2))
    if into is not None:
        into.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _crash_figures(started: float) -> dict[str, float]:
    runs = [run for kind in KINDS for run in every_call(kind)]
    calls = len(runs) // len(KINDS)
    runs += pairs(PAIRS, within=calls)
    broken = [run for run in runs if run.violations]
    for run in broken:
        click.echo(f"{run.kind} at {run.calls}: {run.violations[0]}", err=True)
    seconds = round(time.process_time() - started, 1)
    return {"calls": calls, "pairs": PAIRS, "runs": len(runs), "broken_promises": len(broken), "cpu_seconds": seconds}


def _figures(reports: list[Report], first: int, seconds: float) -> dict[str, float]:
    return {
        "seeds": len(reports),
        "first_seed": first,
        "broken_promises": sum(bool(report.violations) for report in reports),
        "faults": sum(len(report.faults) for report in reports),
        "fewest_faults_of_a_seed": min(len(report.faults) for report in reports),
        "calls": sum(report.calls for report in reports),
        "commits": sum(report.commits for report in reports),
        "given_up_and_brought_back": sum(report.parked for report in reports),
        "longest_settling_virtual_seconds": round(max(report.settled_after for report in reports)),
        "cpu_seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
