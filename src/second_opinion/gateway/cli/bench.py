"""`opinion bench`: how fast the models run on this machine."""

import os
from contextlib import nullcontext
from dataclasses import asdict

import click
import onnxruntime as ort

from second_opinion import __version__
from second_opinion.gateway.bench import Comparison, compare
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.pipeline.adapters.onnx_kernel import kernel_class, runner_count
from second_opinion.workers.settings import load_settings


@click.command()
@click.option("--seconds", type=click.FloatRange(0.0, 600.0), default=5.0, show_default=True, help="For each question.")
@with_session
def bench(session: Session, seconds: float) -> None:
    r"""Measure how fast the models run on this machine.

    Each question has two sides that take turns on the same work: the engine, and ONNX Runtime without it. The ratio
    says how many times as fast the engine is. No server is needed; other work makes both sides slower.

    \b
    Examples:
      opinion bench
      opinion bench --seconds 20 --json
    """
    terminal, settings = session.terminal, load_settings()
    machine = {
        "cores": os.cpu_count(),
        "threads": runner_count(settings.model_threads),
        "kernel": kernel_class(),
        "onnxruntime": ort.__version__,
        "second_opinion": __version__,
        "load": round(os.getloadavg()[0], 2),
    }
    if settings.embedder_definition() is not None:
        terminal.warn("OPINION_EMBEDDER runs outside the engine and is not measured; OPINION_EMBEDDER_MODEL is")
    found: list[Comparison] = []
    with terminal.stderr.status("measuring") if not terminal.quiet else nullcontext():
        for comparison in compare(settings, seconds=seconds):
            found.append(comparison)
            if not terminal.as_json:
                _show(terminal, comparison)
    if terminal.as_json:
        terminal.json({"machine": machine, "comparisons": [asdict(one) for one in found]})
        return
    terminal.neutral(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()))
    terminal.hint("against other libraries, and of the whole system: benchmarks/README.md in the repository")


def _show(terminal: Terminal, one: Comparison) -> None:
    if not terminal.interactive:
        terminal.rows(
            [
                (
                    one.question,
                    f"{one.engine_speed:.1f}",
                    f"{one.other_speed:.1f}",
                    f"{one.ratio:.2f}",
                    one.unit,
                    one.other,
                )
            ]
        )
        return
    engine = f"  {one.question:<7} engine {one.engine_speed:,.1f} {one.unit}/s"
    terminal.lines([f"{engine}, {one.other} {one.other_speed:,.1f}: ratio {one.ratio:.2f} over {one.turns} turns"])
