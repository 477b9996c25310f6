"""How the outcome of an ingest looks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from second_opinion.gateway.cli.intake import Counts, Failure, Intake
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.gateway.cli.text import one_line, plural, seconds, shortened

FAILURES_SHOWN: Final = 20
NAME_CELLS: Final = 40


def report_accepted(terminal: Terminal, counts: Counts, took: float, *, skipped: int) -> None:
    """Say what was recorded."""
    if terminal.as_json:
        return
    if counts.accepted:
        terminal.done(f"Accepted {plural(counts.accepted, 'document')} (durable) in {seconds(took)}")
    if counts.unchanged:
        terminal.done(f"Unchanged {counts.unchanged:,}")
    if counts.superseded:
        terminal.neutral(f"Superseded {counts.superseded:,}: newer versions are recorded already")
    if skipped:
        terminal.neutral(f"Skipped {plural(skipped, 'file')} of other kinds")


def report_searchable(terminal: Terminal, intake: Intake, took: float, *, waited: bool) -> None:
    """Say what queries see by now."""
    if terminal.as_json:
        return
    counts = intake.counts
    if counts.searchable:
        chunks = plural(counts.chunks, "chunk")
        terminal.done(f"Searchable {counts.searchable:,} · {chunks} in {seconds(took)}")
    if intake.pending and waited:
        terminal.failed(f"Waiting ended: {plural(intake.pending, 'document')} not searchable yet")
        terminal.hint("They are durable and go on when a worker does: opinion status")
    elif intake.pending:
        terminal.hint("opinion document list --state received")


def report_failures(terminal: Terminal, intake: Intake) -> None:
    """Say what did not get in and why: as data in a pipe and as JSON, else below the summary."""
    failures = intake.failures
    if terminal.as_json:
        terminal.json(summary(intake))
        return
    if not failures:
        return
    terminal.failed(f"Failed {len(failures):,}")
    if terminal.interactive:
        _list_failures(terminal, failures)
    else:
        terminal.rows((one.name, one.error.code, one.error.message, one.error.hint) for one in failures)
    if any(one.kept for one in failures):
        terminal.hint("Once the cause is gone: opinion dead-letters retry --all")


def _list_failures(terminal: Terminal, failures: Sequence[Failure]) -> None:
    for one in failures[:FAILURES_SHOWN]:
        name = shortened(one_line(one.name), NAME_CELLS)
        hint = f"      hint: {one_line(one.error.hint)}" if one.error.hint else ""
        terminal.detail(f"  {name}: {one_line(one.error.message)}{hint}")
    if len(failures) > FAILURES_SHOWN:
        kinds = ", ".join(
            f"{code} {count:,}" for code, count in Counter(one.error.code for one in failures).most_common()
        )
        terminal.detail(f"  … {len(failures) - FAILURES_SHOWN:,} more (all: {kinds}); --json lists them")


def summary(intake: Intake) -> dict[str, Any]:
    """Return the outcome as data."""
    failed = [{"name": one.name, "error": one.error.model_dump(mode="json")} for one in intake.failures]
    return {**asdict(intake.counts), "pending": intake.pending, "failed": len(failed), "failures": failed}
