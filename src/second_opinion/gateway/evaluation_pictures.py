"""Pictures of a report as SVG: reliability, relevance by label, a sweep of floors, risk against coverage."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from second_opinion.schemas.errors import ExtraMissing, InvalidRequest
from second_opinion.schemas.evaluation import EvaluationReport, FloorPoint

SIZE: Final = (6.0, 4.0)
_LINE: Final = "#1f5f8b"
_SECOND: Final = "#c0562f"
_QUIET: Final = "#9a9a9a"


def require_matplotlib() -> Any:
    """Return the module matplotlib, set to draw without a screen.

    Raises:
        ExtraMissing: If it is not installed.
    """
    try:
        library = importlib.import_module("matplotlib")
    except ImportError as problem:
        raise ExtraMissing.of("evaluation", "matplotlib") from problem
    library.use("Agg")
    return library


def draw(report: EvaluationReport, folder: Path) -> list[Path]:
    """Draw every picture of a report into a folder; return the files.

    Raises:
        ExtraMissing: If matplotlib is not installed.
        InvalidRequest: If the folder cannot be written.
    """
    library = require_matplotlib()
    figures = importlib.import_module("matplotlib.figure")
    # The same report gives the same file, and words stay words.
    library.rcParams.update({"svg.hashsalt": "second-opinion", "svg.fonttype": "none", "font.size": 9})
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, paint in _PICTURES.items():
            figure = figures.Figure(figsize=SIZE, layout="constrained")
            axes = figure.subplots()
            axes.spines[["top", "right"]].set_visible(False)
            paint(axes, report)
            path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', report.name)}-{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None})
            made.append(path)
    except OSError as problem:
        raise InvalidRequest(
            f"{folder} cannot be written: {problem.strerror or problem}", hint="Choose another folder for --pictures."
        ) from problem
    return made


def _reliability(axes: Any, report: EvaluationReport) -> None:
    axes.plot([0, 1], [0, 1], color=_QUIET, linewidth=1, linestyle=":", label="as promised")
    parts = (
        ("top 1", report.calibration.top_1.unjudged_irrelevant, _LINE, "o"),
        ("top 1, judged alone", report.calibration.top_1.judged_only, _QUIET, "s"),
        ("relevance ≥ 0.1", report.calibration.from_0_1.unjudged_irrelevant, _SECOND, "^"),
    )
    for title, found, colour, marker in parts:
        if found.bins:
            error = f", ECE {found.ece.value:.3f}" if found.ece is not None else ""
            xs, ys = [one.mean_relevance for one in found.bins], [one.observed for one in found.bins]
            axes.plot(xs, ys, color=colour, marker=marker, markersize=4, label=f"{title} ({found.pairs:,}{error})")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean relevance of a bin", ylabel="share relevant")
    axes.set_title(f"{report.name}: reliability, bins of equal size")
    axes.legend(frameon=False, loc="upper left")


def _histogram(axes: Any, report: EvaluationReport) -> None:
    lows = [one.low for one in report.histogram]
    width = 1.0 / max(1, len(lows))
    parts = (
        ("relevant", [one.relevant for one in report.histogram], _LINE),
        ("judged irrelevant", [one.irrelevant for one in report.histogram], _SECOND),
        ("unjudged", [one.unjudged for one in report.histogram], _QUIET),
    )
    for title, counts, colour in parts:
        if any(counts):
            axes.stairs(counts, [*lows, 1.0], color=colour, label=f"{title} ({sum(counts):,})", linewidth=1.5)
    axes.axvline(
        report.choices.floor, color="black", linewidth=1, linestyle="--", label=f"floor {report.choices.floor:g}"
    )
    axes.set_yscale("symlog", linthresh=1)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel=f"relevance (bins of {width:g})", ylabel="candidates")
    axes.set_title(f"{report.name}: relevance by label")
    axes.legend(frameon=False)


def _floor_sweep(axes: Any, report: EvaluationReport) -> None:
    parts: tuple[tuple[str, Callable[[FloorPoint], float | None], str, str], ...] = (
        ("queries answered", lambda one: one.answered, _QUIET, "-"),
        ("precision of what is shown", lambda one: one.precision, _LINE, "-"),
        ("answerable with a relevant document shown", lambda one: one.hits, _LINE, "--"),
        ("F1 of refusals", lambda one: one.refusal_f1, _SECOND, "-"),
    )
    for title, value, colour, style in parts:
        known = [(one.floor, value(one)) for one in report.floors]
        points = [(floor, found) for floor, found in known if found is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=style, label=title)
    axes.axvline(report.choices.floor, color="black", linewidth=1, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="floor", ylabel="share")
    axes.set_title(f"{report.name}: what each floor would do")
    axes.legend(frameon=False, loc="best")


def _risk_coverage(axes: Any, report: EvaluationReport) -> None:
    known = [(one.answered, one.answered_rightly, one.floor) for one in report.floors]
    points = sorted((answered, 1.0 - rightly) for answered, rightly, _ in known if rightly is not None)
    if points:
        axes.plot(*zip(*points, strict=True), color=_LINE, marker=".", markersize=3)
    near = min(known, key=lambda one: abs(one[2] - report.choices.floor), default=None)
    if near is not None and near[1] is not None:
        axes.plot([near[0]], [1.0 - near[1]], color=_SECOND, marker="o", label=f"floor {report.choices.floor:g}")
        axes.legend(frameon=False)
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="coverage: queries answered", ylabel="risk: of these, nothing relevant shown"
    )
    axes.set_title(f"{report.name}: risk against coverage")


_PICTURES: Final[dict[str, Callable[[Any, EvaluationReport], None]]] = {
    "reliability": _reliability,
    "relevance": _histogram,
    "floors": _floor_sweep,
    "risk-coverage": _risk_coverage,
}
