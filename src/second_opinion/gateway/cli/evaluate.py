"""`opinion evaluate`: what a data set with judgements says of every stage."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from second_opinion.gateway.cli import query_options
from second_opinion.gateway.cli.program import EXIT_FAILED, EXIT_INTERRUPTED
from second_opinion.gateway.cli.progress import TerminalWatch
from second_opinion.gateway.cli.rendering import evaluate as rendering
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.gateway.evaluation import RunPlan, label_of, run_dataset
from second_opinion.gateway.evaluation_pictures import draw, require_matplotlib
from second_opinion.pipeline.evaluation.datasets import Dataset, read_dataset
from second_opinion.pipeline.evaluation.metrics import require_ir_measures
from second_opinion.pipeline.evaluation.misses import misses
from second_opinion.pipeline.evaluation.report import AskedSet, report
from second_opinion.pipeline.whole_files import write_whole
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.schemas.evaluation import EvaluationReport
from second_opinion.workers.settings import load_settings

REPORT: Final = "report.json"
SUBFOLDER: Final = "evaluation"


@click.command()
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...", type=click.Path(path_type=Path))
@click.option("--split", help="Which queries are asked.  [default: the only split, or dev, or test]")
@click.option("--queries", type=click.IntRange(min=1), help="Ask so many of them, always the same.  [default: all]")
@click.option("--seed", type=int, default=0, show_default=True, help="Which ones.")
@click.option(
    "--with",
    "distractors",
    type=click.Path(path_type=Path),
    metavar="CORPUS",
    help="A corpus.jsonl whose documents are added, for a data set that has few.",
)
@click.option("-c", "--collection", help="Where the documents go.  [default: evaluate-NAME]")
@click.option(
    "--into", type=click.Path(path_type=Path), help="Work folder.  [default: evaluation/NAME in the state folder]"
)
@click.option(
    "--relevant-from", type=click.IntRange(min=1), default=1, show_default=True, help="Smallest relevant grade."
)
@click.option(
    "--full-judgements/--known-judgements",
    default=True,
    help="Count judged documents that the corpus lacks in ideal rankings (qrels_full.tsv).  [default: full]",
)
@click.option("--floor", type=click.FloatRange(0.0, 1.0), help="Relevance below which nothing is shown.")
@query_options.top_k
@query_options.candidates
@click.option(
    "--in-flight", type=click.IntRange(1, 64), default=4, show_default=True, help="Queries under way at once."
)
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3_600), default=60.0, show_default=True, help="Seconds for one answer."
)
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    help="Seconds without progress after which waiting for documents ends.",
)
@click.option(
    "--misses", "with_misses", is_flag=True, help="List the queries that lost their relevant documents, and where."
)
@click.option(
    "--pictures", type=click.Path(path_type=Path), metavar="FOLDER", help="Draw pictures (SVG) into this folder."
)
@with_session
def evaluate(  # noqa: PLR0913 - one argument an option
    session: Session,
    *,
    datasets: tuple[Path, ...],
    into: Path | None,
    relevant_from: int,
    full_judgements: bool,
    with_misses: bool,
    pictures: Path | None,
    floor: float | None,
    top_k: int | None,
    candidates: int | None,
    **options: Any,
) -> int:
    r"""Measure every stage on data sets with judgements.

    The stages are BM25, kNN, both fused, reranked, and what the floor leaves. DATASET is a folder with
    corpus.jsonl, queries.jsonl and qrels.tsv, or one in BEIR's layout. Its documents go into a collection of its own,
    its queries through the whole pipeline. Interrupted, the same command goes on where it was.

    \b
    Examples:
      opinion evaluate ./squad --queries 200
      opinion evaluate ./squad --with ./distractors/corpus.jsonl --misses
      opinion evaluate ./squad ./scifact --pictures pictures --json
    """
    _check(datasets, options)
    choices = {"floor": floor, "top_k": top_k, "candidates": candidates}
    said = {name: value for name, value in choices.items() if value is not None}
    home = into or load_settings().state_dir / SUBFOLDER
    watch = TerminalWatch(session.terminal)
    if pictures is not None:
        require_matplotlib()
    read = [
        read_dataset(one, split=options["split"], relevant_from=relevant_from, full_judgements=full_judgements)
        for one in datasets
    ]
    done: list[AskedSet] = []
    reports: list[EvaluationReport] = []
    try:
        for dataset in read:
            folder = home if into is not None and len(read) == 1 else home / _folder_name(dataset, options)
            renamed = {key: value for key, value in options.items() if key != "wait_timeout"}
            plan = RunPlan(folder=folder, patience=options["wait_timeout"], choices=said, **renamed)
            done.append(run_dataset(session.client, dataset, plan, watch))
            reports.append(report(done[-1:]))
            write_whole(folder / REPORT, reports[-1].model_dump_json(indent=1))
    except KeyboardInterrupt:
        session.terminal.failed("Interrupted: what was answered is recorded")
        session.terminal.hint("Run the same command again: it goes on where it was")
        return EXIT_INTERRUPTED
    everything = [*reports, report(done)] if len(done) > 1 else reports
    if pictures is not None:
        drawn = [path for one in everything for path in draw(one, pictures)]
        watch.say(f"{len(drawn)} pictures in {pictures}")
    _show(session.terminal, everything, done, with_misses=with_misses)
    return EXIT_FAILED if any(one.failed for one in reports) else 0


def _check(datasets: Sequence[Path], options: dict[str, Any]) -> None:
    """Refuse what cannot work before anything is sent."""
    names = [one.resolve().name for one in datasets]
    if len(set(names)) < len(names):
        raise click.UsageError("Two data sets have the same name; give each folder a name of its own.")
    if options["collection"] is not None and len(datasets) > 1:
        raise click.UsageError("--collection takes one data set: documents of several would get in each other's way.")
    distractors = options["distractors"]
    if distractors is not None and not distractors.is_file():
        raise InvalidRequest(f"{distractors} does not exist", hint="Give --with the file of a corpus: corpus.jsonl")
    require_ir_measures()


def _folder_name(dataset: Dataset, options: dict[str, Any]) -> str:
    """Return the name of a data set's work folder: another for other documents, so that neither undoes the other."""
    collection: str | None = options["collection"]
    distractors: Path | None = options["distractors"]
    parts = [dataset.name, *([label_of(distractors)] if distractors else []), *([collection] if collection else [])]
    return re.sub(r"[^\w.-]+", "-", "-".join(parts))


def _show(
    terminal: Terminal, reports: Sequence[EvaluationReport], done: Sequence[AskedSet], *, with_misses: bool
) -> None:
    missed = {one.dataset.name: misses(one.dataset, one.asked) for one in done} if with_misses else {}
    if terminal.as_json:
        pooled = reports[-1] if len(done) > 1 else None
        terminal.json(
            {"reports": reports[: len(done)], "pooled": pooled, **({"misses": missed} if with_misses else {})}
        )
        return
    if not terminal.interactive:
        terminal.rows(rendering.miss_rows(missed) if with_misses else rendering.rows(reports))
    else:
        for one in reports:
            terminal.lines(rendering.layout(one))
        terminal.lines(rendering.miss_layout(missed, terminal.width))
    for one in reports:
        rendering.say(terminal, one)
