"""How a fitted calibration looks beside the present one."""

from collections.abc import Iterator

from rich.text import Text

from second_opinion.gateway.calibration import CalibrationProposal
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.pipeline.calibration.quality import Quality

_NAMES = ("log loss", "top-1 ECE", "relevant of 0.3-0.5")


def rows(proposal: CalibrationProposal) -> Iterator[tuple[object, ...]]:
    """Yield plain rows: the measure, before, after."""
    before, after = _numbers(proposal.before), _numbers(proposal.after)
    for name, then, now in zip(_NAMES, before, after, strict=True):
        yield (name, *("" if value is None else f"{value:.6f}" for value in (then, now)))


def layout(proposal: CalibrationProposal) -> Iterator[Text]:
    """Yield the lines for a terminal: what it was fitted on, and the three measures before and after."""
    report = proposal.artefact.fitted_on
    evidence = f"{report.pairs:,} judged pairs of {report.queries:,} questions, {report.relevant_pairs:,} relevant"
    yield Text.assemble((f"{proposal.artefact.id} for {proposal.collection}", "bold"))
    yield Text(f"{evidence} · {proposal.artefact.key.reranker}", style="dim")
    yield Text(f"{'':<22}{'before':>10}{'after':>10}", style="bold")
    before, after = _numbers(proposal.before), _numbers(proposal.after)
    for name, then, now in zip(_NAMES, before, after, strict=True):
        yield Text(f"{name:<22}{_shown(then):>10}{_shown(now):>10}")
    present = proposal.present or "none"
    yield Text(f"before: {present} ({proposal.present_source.value}); after: on questions it was not fitted on", "dim")


def say_query_level(terminal: Terminal, proposal: CalibrationProposal) -> None:
    """Say what is missing for refusals, if it is."""
    if proposal.before is None:
        terminal.warn("The present calibration belongs to another model, so there is nothing to compare with")
    if proposal.artefact.query_level is None:
        terminal.warn(f"No query level, so refusals go by passages alone: {proposal.artefact.fitted_on.query_level}")


def _numbers(one: Quality | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if one is None else (one.log_loss, one.top1_error, one.near_floor)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
