"""Exports a trained model into a model folder: ONNX in 8-bit integers, tokenizer, manifest.

    python -m second_opinion.training.export SOURCE DESTINATION --model NAME [--data FOLDER --on SET ...]

With --data the reranker is measured on the training slice of these sets before it is quantised, and calibrated on the
slice that no training sees. What is written needs ONNX Runtime alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from second_opinion.pipeline.adapters.onnx_model import (
    MODEL_FILE,
    TOKENIZER_FILE,
    Manifest,
    save_manifest,
    sha256_of,
)
from second_opinion.pipeline.adapters.onnx_tokens import ModelTokenizer
from second_opinion.training.calibrate import CalibrationData, calibrate
from second_opinion.training.measured_pairs import pairs_to_measure
from second_opinion.training.onnx_encoder import Recipe, embed, encode
from second_opinion.training.onnx_graph import Graph
from second_opinion.training.onnx_measured import Measured, measure
from second_opinion.training.second_look import look_again
from second_opinion.training.sources import Source, read_source
from second_opinion.training.story import read_story, trained_on

RERANKER_TOKENS: Final = 384
EMBEDDER_TOKENS: Final = 256
QUERY_TOKENS: Final = 128


@dataclass(frozen=True)
class Label:
    """What a model is called, where its weights come from, under which licence, and which data sets trained it."""

    model: str
    origin: str = ""
    licence: str = "Apache-2.0"
    trained_on: tuple[str, ...] = ()


def export(
    source: Source, destination: Path, label: Label, recipe: Recipe, pairs: Sequence[tuple[str, str]] = ()
) -> Manifest:
    """Write the model folder and return its manifest.

    Args:
        source: The trained model.
        destination: The folder.
        label: What the manifest says of it.
        recipe: How it is quantised.
        pairs: Queries and passages over which a reranker is measured, so that quantising costs least on their like.
    """
    destination.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(source.tokenizer, destination / TOKENIZER_FILE)
    reranks = source.kind == "reranker"
    if pairs and reranks:
        recipe = replace(recipe, measured=_measured(source, destination, pairs))
    write_graph(source, destination / MODEL_FILE, recipe)
    manifest = Manifest(
        kind=source.kind,
        model=label.model,
        revision=source.revision,
        dtype="float32" if recipe == Recipe.exact() else "int8-dynamic",
        max_tokens=RERANKER_TOKENS if reranks else EMBEDDER_TOKENS,
        max_query_tokens=QUERY_TOKENS,
        dims=None if reranks else source.encoder.words.shape[1],
        scale="logit" if reranks else None,
        trained_on=label.trained_on,
        model_sha256=sha256_of(destination / MODEL_FILE),
        tokenizer_sha256=sha256_of(destination / TOKENIZER_FILE),
        source=label.origin,
        licence=label.licence,
    )
    save_manifest(manifest, destination)
    return manifest


def _measured(source: Source, folder: Path, pairs: Sequence[tuple[str, str]]) -> dict[str, Measured]:
    tokenizer = ModelTokenizer.read(folder / TOKENIZER_FILE, max_tokens=RERANKER_TOKENS, max_query_tokens=QUERY_TOKENS)
    with TemporaryDirectory() as place:
        exact = Path(place) / MODEL_FILE
        write_graph(source, exact, Recipe.exact())
        return measure(exact.read_bytes(), [tokenizer.pair(tokenizer.query(query), text) for query, text in pairs])


def write_graph(source: Source, path: Path, recipe: Recipe) -> None:
    """Write the ONNX model of a source."""
    graph = Graph()
    embedded = embed(graph, source.encoder, recipe)
    output = source.head(graph, encode(graph, embedded, source.encoder, recipe))
    if source.kind == "reranker":
        if recipe.looks_again:
            output = look_again(graph, embedded, output, source, recipe)
        graph.save(path, output, "logit", ["batch"])
    else:
        graph.save(path, output, "vector", ["batch", source.encoder.words.shape[1]])


def _write_tokenizer(tokenizer: dict[str, Any], destination: Path) -> None:
    quiet = {**tokenizer, "truncation": None, "padding": None}
    compact = json.dumps(quiet, ensure_ascii=False, separators=(",", ":"))
    destination.write_text(compact, encoding="utf-8")


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("destination", type=click.Path(file_okay=False, path_type=Path))
@click.option("--model", required=True, help="Id of the model in manifests, results and traces.")
@click.option("--origin", default="", help="Where the weights come from, in a sentence.")
@click.option("--trained-on", multiple=True, help="Data set that trained it, beside those that SOURCE itself names.")
@click.option("--exact", is_flag=True, help="Keep float32: four times the size, half the speed.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Calibrate on these sets.")
@click.option("--on", "sets", multiple=True, help="Data set whose calibrate slice is used.")
@click.option("--whole", multiple=True, help="Data set whose train split this model never saw: all of it is used.")
@click.option("--limit", default=200, show_default=True, help="Most queries of a data set.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that keeps vectors between calls.")
def main(source: Path, destination: Path, data: Path | None, **chosen: Any) -> None:
    """Export the model in SOURCE into the model folder DESTINATION, and calibrate it where --data is given."""
    recipe = Recipe.exact() if chosen.pop("exact") else Recipe(looks_again=data is not None)
    learnt = trained_on(read_story(source), {"trained_on": chosen.pop("trained_on")})
    label = Label(chosen.pop("model"), chosen.pop("origin"), trained_on=learnt)
    pairs = [] if data is None else pairs_to_measure([data / name for name in (*chosen["sets"], *chosen["whole"])])
    manifest = export(read_source(source), destination, label, recipe, pairs)
    size = (destination / MODEL_FILE).stat().st_size / 1e6
    click.echo(f"{manifest.model} {manifest.revision}: {size:.1f} MB in {destination}")
    if data is not None:
        click.echo(calibrate(destination, CalibrationData(data, **chosen)))


if __name__ == "__main__":
    main()
