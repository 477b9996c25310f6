"""What does each step of quantising cost in agreement with float32, and what does it bring in speed?

    ./do bench quantisation --source FOLDER --data FOLDER [--pairs 300]

Exports the cross-encoder of --source by several recipes (one that measures its inputs does so on training questions)
and scores pairs of dev questions and passages with each: three neighbours in vocabulary and two random passages a
question. Seconds are of the scoring thread's own CPU time, recipes taking turns pair by pair. A second look is taken
where the uncalibrated sigmoid is between 0.15 and 0.65. Verdicts are compared at 33 floors from 0.1 to 0.9 of it.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import environment_of, write_result

from second_opinion.pipeline.adapters.onnx_engine import Model
from second_opinion.pipeline.adapters.onnx_kernel import kernel_class
from second_opinion.pipeline.adapters.onnx_model import MODEL_FILE, TOKENIZER_FILE
from second_opinion.pipeline.adapters.onnx_tokens import ModelInput, ModelTokenizer
from second_opinion.pipeline.evaluation.datasets import read_dataset
from second_opinion.schemas.calibration import PlattCurve
from second_opinion.training.export import Label, export
from second_opinion.training.measured_pairs import pairs_to_measure
from second_opinion.training.mining import bm25_lists
from second_opinion.training.onnx_encoder import Recipe
from second_opinion.training.onnx_linear import Precision
from second_opinion.training.second_look import open_band
from second_opinion.training.sources import read_source

RECIPES = {
    "float32": Recipe.exact(),
    "one scale everywhere": Recipe(down=Precision.PER_INPUT, smooth_up=False),
    "per token into the down-projection": Recipe(smooth_up=False),
    "the same, smoothed up-projection": Recipe(),
    "the same, query, key and value in float32": Recipe(qkv=Precision.FLOAT),
    "the same, weights of 7 bits": Recipe(weight_limit=64),
    "measured inputs, weights of 7 bits": Recipe(weight_limit=64),
    "measured inputs": Recipe(),
    "measured inputs, a second look (shipped)": Recipe(looks_again=True),
}
MEASURED_ON = ("squad11_extra", "nq_open", "pubmedqa", "medquad")
SETS = ("squad2_dev", "nq_open", "covid_qa", "scifact")
PASSAGE_WORDS = 130
FLOORS = np.linspace(0.1, 0.9, 33)
Numbers = NDArray[np.float64]


def main() -> None:
    """Run, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=300)
    options = parser.parse_args()
    environment = environment_of(sys.argv)
    pairs = [pair for name in SETS for pair in pairs_of(options.data / name, options.pairs // len(SETS))]
    seen = pairs_to_measure([options.data / name for name in MEASURED_ON])
    models, inputs, sizes = {}, [], {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, recipe) in enumerate(RECIPES.items()):
            path = Path(folder) / str(number)
            manifest = export(
                read_source(options.source), path, Label("measured"), recipe, seen if "measured" in name else ()
            )
            if recipe.looks_again:
                open_band(path, PlattCurve(slope=1.0, intercept=0.0))
            models[name], sizes[name] = Model(path / MODEL_FILE, (1,)), (path / MODEL_FILE).stat().st_size
            limits = {"max_tokens": manifest.max_tokens, "max_query_tokens": manifest.max_query_tokens}
            tokenizer = ModelTokenizer.read(path / TOKENIZER_FILE, **limits)
        inputs = [tokenizer.pair(tokenizer.query(query), passage) for query, passage in pairs]
        scores, seconds = run(models, inputs)
    exact = scores["float32"]
    rows = {
        name: {
            "pairs_a_second_and_core": round(1 / statistics.mean(seconds[name]), 1),
            "megabytes": round(sizes[name] / 1e6, 1),
            **agreement(scores[name], exact),
        }
        for name in models
    }
    tokens = round(statistics.mean(one.ids.shape[1] for one in inputs), 1)
    write_result(
        "quantisation",
        {"recipes": rows, "pairs": len(pairs), "tokens_a_pair": tokens, "kernel": kernel_class(), **environment},
    )


def pairs_of(folder: Path, wanted: int) -> Iterator[tuple[str, str]]:
    """Yield dev questions, each with three neighbours in vocabulary and two random passages."""
    dataset, chance = read_dataset(folder), random.Random(folder.name)
    texts = [
        f"{one.title}\n{' '.join(one.text.split()[:PASSAGE_WORDS])}" for one in list(dataset.passages.values())[:2_000]
    ]
    questions = [one.text for one in dataset.questions.values() if one.split == "dev"]
    asked = chance.sample(questions, wanted // 5)
    for question, found in zip(asked, bm25_lists(texts, asked), strict=True):
        for row in [*found[:3], *chance.sample(range(len(texts)), 2)]:
            yield question, texts[row]


def run(models: dict[str, Model], inputs: Sequence[ModelInput]) -> tuple[dict[str, Numbers], dict[str, list[float]]]:
    """Return scores and seconds of each model on each input."""
    scores = {name: np.zeros(len(inputs)) for name in models}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        model.warm_up()
    for row, given in enumerate(inputs):
        for name, model in models.items():
            begun = time.thread_time()
            scores[name][row] = model.run(given)[0]
            seconds[name].append(time.thread_time() - begun)
    return scores, seconds


def chances(logit: Numbers) -> Numbers:
    """Return 1 / (1 + exp(-logit)) for each."""
    return np.exp(-np.logaddexp(0.0, -logit))


def agreement(found: Numbers, exact: Numbers) -> dict[str, Any]:
    """Return how far scores are from float32's."""
    gap, apart = np.abs(found - exact), np.abs(chances(found) - chances(exact))
    flips = [np.mean((chances(found) >= floor) != (chances(exact) >= floor)) for floor in FLOORS]
    return {
        "logit_gap_mean": round(float(gap.mean()), 4),
        "logit_gap_p99": round(float(np.quantile(gap, 0.99)), 4),
        "sigmoid_gap_mean": round(float(apart.mean()), 5),
        "verdicts_flipped_percent": round(100 * float(np.mean(flips)), 3),
    }


if __name__ == "__main__":
    main()
