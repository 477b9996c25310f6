"""`opinion train`: a reranker of one's own, from data sets and judged queries."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from second_opinion.gateway.cli.progress import WorkProgress
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.schemas.errors import ExtraMissing

if TYPE_CHECKING:
    from second_opinion.training.course import Course, Told

NEEDED: Final = {
    "torch": ("training", "torch"),
    "bm25s": ("training", "bm25s"),
    "Stemmer": ("training", "PyStemmer"),
    "onnx": ("training", "onnx"),
    "safetensors": ("training", "safetensors"),
    "sklearn": ("evaluation", "scikit-learn"),
}
"""Extra and package of each module that training imports."""
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
_EXISTING: Final = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("datasets", nargs=-1, type=_EXISTING, metavar="DATASET...")
@click.option("--into", type=_FOLDER, required=True, help="Folder of the training; what is there is gone on with.")
@click.option("-c", "--collection", help="Train on the judged queries of this collection too.")
@click.option("--steps", type=click.IntRange(min=1), default=2_000, show_default=True, help="Training steps.")
@click.option("--model", default="own/reranker", show_default=True, help="Id that results and traces will name.")
@click.option("--distractors", type=_EXISTING, help="A corpus.jsonl that joins small corpora.")
@click.option("--start", type=_EXISTING, help="Small checkpoint to start from, such as checkpoints/reranker.")
@click.option("--bi-encoder", type=_EXISTING, help="The bi-encoder's folder; the installed one if left out.")
@click.option("--train-queries", type=click.IntRange(min=1), default=6_000, show_default=True, help="Most of a set.")
@click.option("--recipe", default="{}", help="JSON of what differs from the default recipe.")
@click.option("--lanes", type=click.IntRange(min=1), help="CPU threads.  [default: all cores]")
@with_session
def train(session: Session, *, datasets: tuple[Path, ...], collection: str | None, **options: Any) -> int:
    r"""Train, export and calibrate a reranker of your own.

    It learns from data sets and from judged queries. DATASET is a folder with corpus.jsonl, queries.jsonl and
    qrels.tsv. Queries train when their split is `train`; one in ten of them, with its documents, is kept aside to
    compare and calibrate on. Hard negatives come from BM25 and the bi-encoder. The training may be stopped at any
    moment: run the same command again to go on. A GPU is used where there is one.

    \b
    Examples:
      opinion train ./handbook-questions --into ./reranker --steps 2000
      opinion train -c team --start checkpoints/reranker --into ./reranker
      OPINION_RERANKER_MODEL=./reranker/model opinion up
    """
    if not datasets and collection is None:
        raise click.UsageError("Give data sets, or a collection whose queries are judged: -c NAME.")
    for module, (extra, package) in NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise ExtraMissing.of(extra, package)
    if collection is not None:
        from second_opinion.gateway.judged import judged_name, write_judged  # noqa: PLC0415 - judged queries need the servers

        folder = options["into"] / judged_name(collection)
        if not folder.exists():
            found = write_judged(session.client.evidence, collection, folder)
            session.terminal.neutral(f"{len(found.grades):,} judged pairs of {len(found.questions):,} queries")
        datasets = (*datasets, folder)
    with WorkProgress(session.terminal, None, "reading the data sets") as progress:
        course = _course(progress.show, datasets, **options)
        figures = course.run()
    if session.terminal.as_json:
        session.terminal.json({"model": str(course.model), "figures": figures})
        return 0
    for name, row in figures.items():
        low, high = row["trained"]["over_fused_interval"]
        before, after = row["start"]["ndcg10"], row["trained"]["ndcg10"]
        session.terminal.rows([[name, row["queries"], row["fused"], before, after, low, high]])
    session.terminal.done(f"Trained, exported and calibrated: {course.model}")
    session.terminal.hint(f"Use it: OPINION_RERANKER_MODEL={course.model} opinion up")
    return 0


def _course(  # noqa: PLR0913 - one argument an option
    told: "Told",
    datasets: tuple[Path, ...],
    *,
    into: Path,
    steps: int,
    model: str,
    distractors: Path | None,
    start: Path | None,
    bi_encoder: Path | None,
    train_queries: int,
    recipe: str,
    lanes: int | None,
) -> "Course":
    # This command alone trains.
    from second_opinion.training.__main__ import best_device, installed_bi_encoder  # noqa: PLC0415
    from second_opinion.training.course import Course, Means, Order, decayed  # noqa: PLC0415
    from second_opinion.training.recipe import Recipe  # noqa: PLC0415

    device = best_device()
    lanes = 1 if device != "cpu" else lanes or os.cpu_count() or 1
    order = Order(
        model=model,
        datasets=tuple(one.resolve() for one in datasets),
        distractors=distractors.resolve() if distractors else None,
        train_queries=train_queries,
        steps=steps,
        recipe=decayed(Recipe.parse(recipe), steps),
    )
    means = Means(bi_encoder or installed_bi_encoder(), start, device, lanes)
    return Course(order, into, means, told)
