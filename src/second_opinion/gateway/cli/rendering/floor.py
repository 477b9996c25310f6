"""How reports, replays and suggestions of a floor look."""

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from second_opinion.gateway.cli.rendering.answer import floor_text, relevance_text
from second_opinion.gateway.cli.rendering.records import moment
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.gateway.cli.text import bar, one_line, plural, shortened, squeezed
from second_opinion.schemas.floor_choice import (
    Estimate,
    FloorFinding,
    FloorGoal,
    FloorReplay,
    FloorReport,
    FloorRow,
    FloorSuggestion,
)
from second_opinion.schemas.trace import HISTOGRAM_BINS, ReplayedQuery

GROUPS: Final = 10
GROUP_CELLS: Final = 40
CHANCE: Final = 0.5
_WORDS: Final = {FloorGoal.PRECISION: "precision", FloorGoal.RECALL: "recall", FloorGoal.REFUSAL_F1: "refusal F1"}


def report_rows(report: FloorReport) -> Iterator[tuple[object, ...]]:
    """Yield plain rows: floor, answered, kept a query, trimmed, then value, low and high of each measure."""
    for row in report.rows:
        measures = (row.precision, row.recall, row.f1, row.wrongly_refused)
        yield (
            f"{row.floor:g}",
            f"{row.answered:.6f}",
            f"{row.kept_per_query:.6f}",
            f"{row.trimmed:.6f}",
            *(cell for one in measures for cell in _plain(one)),
        )


def report_layout(report: FloorReport) -> Iterator[Text]:
    """Yield the lines for a terminal: the head, the distribution of best relevance, the what-if table."""
    judged = f"{report.judged_pairs:,} judged"
    yield Text.assemble((f"{plural(report.spread.traces, 'trace')} · {judged} · {report.scorer}", "bold"))
    yield Text(
        "what decides a query: its best relevance, or the chance that any answers where that is lower", style="dim"
    )
    yield from _histogram(report)
    yield Text(
        " floor  answered  kept/query  trimmed  precision (95 %)  recall (95 %)     wrongly refused", style="bold"
    )
    for row in report.rows:
        now = row.floor == report.floor
        yield Text(f"{'>' if now else ' '}{_row(row)}", style="yellow" if now else "")


def say_report(terminal: Terminal, report: FloorReport) -> None:
    """Say what the report means and what it does not know."""
    if not report.spread.traces:
        terminal.neutral("No traces yet: every answered or refused query leaves one")
        return
    if report.scorer is not None and report.scorer.endswith(" uncalibrated"):
        terminal.warn("Relevance is not calibrated for this model: a floor chosen here holds for this model alone")
    if report.others:
        left_out = plural(sum(one.traces for one in report.others), "trace")
        terminal.warn(f"{left_out} of other models or calibrations left out: their relevance means something else")
    if not report.judged_pairs:
        terminal.warn("Nothing is judged yet, so nothing can be said of precision")
        terminal.hint("opinion judge JOB RANK relevant (or irrelevant)")
        return
    if report.separation is not None and report.separation.low <= CHANCE:
        terminal.warn(f"These traces do not separate relevant from irrelevant: AUROC {_estimate(report.separation)}")
    if report.judgements_for_3_points is not None:
        pairs = f"{report.judged_pairs:,} judged pairs"
        terminal.warn(f"{pairs}; {report.judgements_for_3_points:,} would narrow the interval to about ±0.03")


def replay_rows(replay: FloorReplay) -> Iterator[tuple[object, ...]]:
    """Yield plain rows of changed queries: job, then and now, best relevance, kept before and after, question."""
    for ending, examples in (("refused", replay.refused_examples), ("answered", replay.answered_examples)):
        for one in examples:
            yield (one.job_id, ending, f"{one.best_relevance:.6f}", one.kept, one.kept_then, one.query)


def replay_layout(replay: FloorReplay, width: int) -> Iterator[Text]:
    """Yield the lines for a terminal: queries that would end otherwise."""
    yield from _examples("would be refused", replay.newly_refused, replay.refused_examples, replay.floor, width)
    yield from _examples("would be answered", replay.newly_answered, replay.answered_examples, replay.floor, width)


def say_replay(terminal: Terminal, replay: FloorReplay) -> None:
    """Say in one line what the floor would change."""
    if not replay.traces:
        terminal.neutral("No traces yet: every answered or refused query leaves one")
        return
    terminal.done(
        f"At floor {floor_text(replay.floor)}: answered {_percent(replay.answered_then / replay.traces)} "
        f"(was {_percent(replay.answered / replay.traces)}), passages {replay.kept_then:,} (was {replay.kept:,}), "
        f"{plural(replay.traces, 'trace')}"
    )


def suggestion_row(found: FloorSuggestion) -> tuple[object, ...]:
    """Return a suggestion as a plain row: floor, its interval, the measure and its interval."""
    cells = [
        f"{value:.2f}" if value is not None else None for value in (found.floor, found.floor_low, found.floor_high)
    ]
    return (*cells, *_plain(found.measured))


def say_suggestion(terminal: Terminal, found: FloorSuggestion) -> None:
    """Say what was found, how sure it is, and what to do next."""
    word, wanted = _WORDS[found.goal], "" if found.target is None else f" ≥ {found.target:g}"
    evidence = f"{found.judged_pairs:,} judged pairs of {plural(found.judged_queries, 'question')}"
    if found.finding is FloorFinding.NO_SEPARATION:
        terminal.neutral(f"These traces do not separate: AUROC {_estimate(found.separation)} over {evidence}")
        terminal.hint("No floor can mend that: try another reranker, or calibrate and train on the judgements")
        return
    if found.finding is FloorFinding.OUT_OF_REACH:
        best = "" if found.measured is None else f"; the best is {_estimate(found.measured)} at {found.measured_at:.2f}"
        terminal.neutral(f"No floor has {word}{wanted}{best} · {evidence}")
        return
    span = f"{found.floor_low:.2f}-{found.floor_high:.2f}"
    asked = f", asked for{wanted}" if wanted else ""
    measured = f"{word} {_estimate(found.measured)}{asked}"
    terminal.done(f"Floor {found.floor:.2f} (95 %: {span}) has {measured} · {evidence}")
    if found.target is not None and not found.certain:
        terminal.warn(f"The interval of {word} reaches below {found.target:g}: more judgements would make it sure")
    terminal.hint(f"opinion collections set {found.collection or 'NAME'} --floor {found.floor:.2f}")


def _histogram(report: FloorReport) -> Iterator[Text]:
    bins, size = report.spread.histogram, HISTOGRAM_BINS // GROUPS
    groups = [sum(bins[start : start + size]) for start in range(0, HISTOGRAM_BINS, size)]
    most = max([1, *groups])
    marked = min(GROUPS - 1, int(report.floor * GROUPS + 1e-9))
    for place, count in enumerate(groups):
        floor_mark = f"  | floor {floor_text(report.floor)}" if place == marked else ""
        drawn = bar(count / most, GROUP_CELLS)
        yield Text.assemble(f"  {place / GROUPS:.1f} ", (drawn, "cyan"), f" {count:,}", (floor_mark, "yellow"))


def _row(row: FloorRow) -> str:
    refused = _percent(row.wrongly_refused.value) if row.wrongly_refused is not None else ""
    return (
        f"{floor_text(row.floor):>5}  {_percent(row.answered):>8}  {row.kept_per_query:>10.1f}  "
        f"{_percent(row.trimmed):>7}  {_estimate(row.precision):<16}  {_estimate(row.recall):<16}  {refused:>15}"
    )


def _examples(what: str, count: int, examples: tuple[ReplayedQuery, ...], floor: float, width: int) -> Iterator[Text]:
    if not count:
        return
    yield Text(f"{count:,} {what}", style="bold")
    for one in examples:
        best = "" if one.best_relevance is None else relevance_text(one.best_relevance, floor)
        head = f"  {one_line(one.job_id)}  {moment(one.at)}  best {best:<6}  {one.kept:>3} → {one.kept_then:<3}  "
        yield Text(head + shortened(squeezed(one.query or "(not kept)"), max(width - len(head), 12)))
    if count > len(examples):
        yield Text(f"  … {count - len(examples):,} more (--examples shows them)", style="dim")


def _estimate(one: Estimate | None) -> str:
    return "" if one is None else f"{one.value:.2f} ({one.low:.2f}-{one.high:.2f})"


def _plain(one: Estimate | None) -> tuple[str, str, str]:
    return ("", "", "") if one is None else (f"{one.value:.6f}", f"{one.low:.6f}", f"{one.high:.6f}")


def _percent(value: float) -> str:
    return f"{value * 100:.0f} %"
