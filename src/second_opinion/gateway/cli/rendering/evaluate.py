"""How the report of an evaluation looks."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.text import Text

from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.gateway.cli.text import one_line, shortened, squeezed
from second_opinion.schemas.evaluation import (
    CalibrationBlock,
    CalibrationFigures,
    EvaluationReport,
    MissClass,
    MissedQuery,
)
from second_opinion.schemas.floor_choice import Estimate

COLUMNS: Final = 80
_MEASURES: Final = {"ndcg_10": "nDCG@10", "mrr_10": "MRR@10", "recall_10": "recall@10", "recall_100": "recall@100"}
_REFUSALS: Final = ("precision", "recall", "f1", "wrongly_refused", "auroc")
_WORDS: Final = {"f1": "F1", "wrongly_refused": "answerable refused", "auroc": "AUROC of best relevance"}
_BLOCKS: Final = {
    "top_1": "top 1",
    "from_0_1": "relevance ≥ 0.1",
    "from_0_3_to_0_5": "relevance 0.3-0.5",
    "first_from_0_3_to_0_5": "0.3-0.5 in top k",
}
_LABELS: Final = {"unjudged_irrelevant": "unjudged irrelevant", "judged_only": "judged alone"}

Row = tuple[object, ...]


def rows(reports: Sequence[EvaluationReport]) -> Iterator[Row]:
    """Yield plain rows: data set, part, figure, value, low, high (or count)."""
    for one in reports:
        yield from ((one.name, *row) for row in _rows(one))


def miss_rows(missed: Mapping[str, Sequence[MissedQuery]]) -> Iterator[Row]:
    """Yield plain rows of missed queries: data set, id, class, best relevant rank and relevance, job, text."""
    for name, queries in missed.items():
        for one in _without_hits(queries):
            relevance = None if one.best_relevance is None else f"{one.best_relevance:.6f}"
            yield (name, one.query_id, one.miss.value, one.best_rank, relevance, one.job_id, one.text)


def layout(report: EvaluationReport) -> Iterator[Text]:
    """Yield the lines for a terminal of 80 columns."""
    scorer = ", ".join(report.scorers)
    yield Text(
        f"{one_line(report.name)} · {report.split} · {report.queries:,} queries",
        style="bold",
    )
    yield Text(f"{scorer} · floor {report.choices.floor:g}", style="dim")
    if report.stages:
        yield Text(f"{'':9}{'':1}" + "".join(f"{title:<17}" for title in _MEASURES.values()), style="bold")
    for stage in report.stages:
        cells = "".join(f"{_short(getattr(stage, name)):<17}" for name in _MEASURES)
        yield Text(f"{stage.stage:<10}{cells}".rstrip())
    for difference in report.differences:
        over = report.best_single if difference.over == "best_single" else difference.over
        yield Text(f"reranked over {over}: {_signed(difference.ndcg_10)} nDCG@10", style=_tone(difference.ndcg_10))
    yield from _refusal(report)
    yield from _calibration(report)
    yield from _misses(report)
    yield from _latency(report)


def miss_layout(missed: Mapping[str, Sequence[MissedQuery]], width: int) -> Iterator[Text]:
    """Yield the lines for a terminal: queries that lost their relevant documents, by class."""
    for name, queries in missed.items():
        lost = _without_hits(queries)
        if lost:
            yield Text(f"{one_line(name)}: {len(lost):,} without a relevant document shown", style="bold")
        for one in lost:
            best = "" if one.best_rank is None else f"rank {one.best_rank}, {one.best_relevance:.2f}"
            head = f"  {one.miss.value:<13} {one_line(one.query_id)}  {best:<15} "
            yield Text(head + shortened(squeezed(one.text), max(width - len(head), 12)))


def say(terminal: Terminal, report: EvaluationReport) -> None:
    """Say in one line how it went, and what the figures do not cover."""
    answered = report.queries - report.failed
    terminal.done(f"{report.name}: {answered:,} of {report.queries:,} queries answered or refused")
    if report.failed:
        terminal.failed(f"{report.failed:,} queries failed and count in no figure")
        for query, sentence in list(report.failures.items())[:5]:
            terminal.detail(f"  {one_line(query)}: {one_line(sentence)}")
        terminal.hint("Run the same command again: only what failed is asked")
    if len(report.scorers) > 1 and len(report.datasets) > 1:
        terminal.warn("The data sets were answered by different models or calibrations: pooled figures mix them")


def _rows(report: EvaluationReport) -> Iterator[Row]:
    yield ("queries", "asked", report.queries, None, None)
    yield ("queries", "failed", report.failed, None, None)
    for stage in report.stages:
        yield from ((stage.stage, name, *_plain(getattr(stage, name))) for name in _MEASURES)
    for difference in report.differences:
        yield ("reranked_over", difference.over, *_plain(difference.ndcg_10))
    if report.refusal is not None:
        yield from (("refusal", name, *_plain(getattr(report.refusal, name))) for name in _REFUSALS)
    for block in _BLOCKS:
        for label in _LABELS:
            found: CalibrationFigures = getattr(getattr(report.calibration, block), label)
            part = f"{block}.{label}"
            yield (part, "pairs", found.pairs, None, None)
            yield from ((part, name, *_plain(getattr(found, name))) for name in ("observed", "ece", "brier"))
            if found.ece_by_chance is not None:
                yield (part, "ece_by_chance", f"{found.ece_by_chance:.6f}", None, None)
    yield from (("misses", kind.value, count, None, None) for kind, count in report.misses.items())
    for one in report.latency:
        yield ("milliseconds", one.stage, f"{one.p50:.3f}", None, f"{one.p95:.3f}")


def _refusal(report: EvaluationReport) -> Iterator[Text]:
    found = report.refusal
    if found is None:
        return
    known = f"{found.answerable:,} queries have an answer, {found.unanswerable:,} have none"
    yield Text(f"refusals  {found.refused:,}; {known}", style="bold")
    for name in _REFUSALS:
        one: Estimate | None = getattr(found, name)
        if one is not None:
            yield Text(f"          {_WORDS.get(name, name):<24} {_short(one)}")


def _calibration(report: EvaluationReport) -> Iterator[Text]:
    yield Text(f"{'calibration':<22}{'pairs':>8}  {'mean':<5} {'relevant':<16} {'ECE':<16} Brier", style="bold")
    for name, title in _BLOCKS.items():
        block: CalibrationBlock = getattr(report.calibration, name)
        for label, words in _LABELS.items():
            yield _figures(f"{title} " if label == "unjudged_irrelevant" else f"  {words}", getattr(block, label))
    if report.calibration.query_level is not None:
        yield _figures("query: any candidate", report.calibration.query_level)
    by_chance = report.calibration.top_1.unjudged_irrelevant.ece_by_chance
    if by_chance is not None:
        yield Text(f"  a right calibration would have a top 1 ECE of {by_chance:.3f} on so few pairs", style="dim")


def _figures(title: str, found: CalibrationFigures) -> Text:
    mean = "" if found.mean_relevance is None else f"{found.mean_relevance:.2f}"
    brier = "" if found.brier is None else f"{found.brier.value:.3f}"
    cells = f"{found.pairs:>8,}  {mean:<5} {_short(found.observed):<16} {_short(found.ece):<16} {brier}"
    return Text(f"{title:<22}{cells}".rstrip())


def _misses(report: EvaluationReport) -> Iterator[Text]:
    total = sum(report.misses.values())
    if total:
        told = " · ".join(f"{kind.value.replace('_', ' ')} {count:,}" for kind, count in report.misses.items() if count)
        yield Text("answerable  ", style="bold").append(told, style="not bold")


def _latency(report: EvaluationReport) -> Iterator[Text]:
    told = " · ".join(f"{one.stage} {one.p50:,.0f}/{one.p95:,.0f}" for one in report.latency)
    head = "ms p50/p95  "
    for number, line in enumerate(textwrap.wrap(told, COLUMNS - len(head))):
        yield Text(head if number == 0 else " " * len(head), style="bold").append(line, style="not bold")


def _without_hits(queries: Sequence[MissedQuery]) -> list[MissedQuery]:
    order = list(MissClass)
    return sorted((one for one in queries if one.miss is not MissClass.HIT), key=lambda one: order.index(one.miss))


def _short(one: Estimate | None) -> str:
    return "" if one is None else f"{one.value:.3f} ({_bare(one.low)}-{_bare(one.high)})"


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def _tone(one: Estimate) -> str:
    return "green" if one.low > 0.0 else "red" if one.high < 0.0 else ""


def _bare(value: float) -> str:
    """Return a share in three cells: `.73`, `1.0`."""
    text = f"{value:.2f}"
    return text[1:] if text.startswith("0") else text[:3]


def _plain(one: Estimate | None) -> tuple[str, str, str]:
    return ("", "", "") if one is None else (f"{one.value:.6f}", f"{one.low:.6f}", f"{one.high:.6f}")
