"""Does the bundled reranker tell unanswerable questions from answerable ones better than the first one did?

    ./do bench refusals --data DATA --against FOLDER [--queries 300] [--set squad2_dev]

Both sides, as int8 exports, read the same 100 hybrid candidates. The floor of each is the best score that gave the
highest F1 of refusals on the `calibrate` slice (in which neither the training of the bundled model nor the questions
measured here have a part); AUROC, F1 at that floor and their differences, paired by question, are of `dev` questions.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from record import environment_of, write_result

from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.evaluation.datasets import Dataset, read_dataset, read_passages
from second_opinion.pipeline.evaluation.slices import Slice, slice_dataset
from second_opinion.pipeline.resampling import Auroc, Booleans, Floats, draws, estimate, ratio
from second_opinion.training.candidates import CandidateIndex, sample, score_queries
from second_opinion.training.export import Label, export
from second_opinion.training.onnx_encoder import Recipe
from second_opinion.training.sources import read_source

Sides = dict[str, OnnxReranker]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--against", type=Path, required=True, help="a trained cross-encoder")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--set", default="squad2_dev")
    chosen = parser.parse_args()
    given = ["--data", "DATA", "--against", chosen.against.name, "--queries", str(chosen.queries), "--set", chosen.set]
    environment = environment_of([sys.argv[0], *given])
    dataset, embedder = read_dataset(chosen.data / chosen.set), OnnxEmbedder.open()
    others = list(read_passages(chosen.data / "distractors" / "corpus.jsonl").values())
    index = CandidateIndex({chosen.set: list(dataset.passages.values()), "distractors": others}, embedder)
    with tempfile.TemporaryDirectory() as folder:
        export(read_source(chosen.against), Path(folder), Label(chosen.against.name), Recipe())
        sides = {"bundled": OnnxReranker.open(), "against": OnnxReranker(Path(folder))}
        fitted = best_scores(dataset, Slice.CALIBRATE, chosen.queries, index, sides)
        measured = best_scores(dataset, Slice.MEASURE, chosen.queries, index, sides)
    models = {name: f"{side.spec.model}@{side.spec.revision}" for name, side in sides.items()}
    write_result("refusals", {"models": models, **figures(fitted, measured), **environment})


def best_scores(
    dataset: Dataset, part: Slice, limit: int, index: CandidateIndex, sides: Sides
) -> tuple[dict[str, Floats], Booleans]:
    """Return the best score of each question by side, [N], and whether it has an answer, [N]."""
    slices = slice_dataset(dataset).questions
    allowed = [one for one in dataset.questions.values() if slices[one.id] is part and one.answerable is not None]
    questions = sample(allowed, limit)
    found = {
        name: np.array([one.raw.max() for one in score_queries(dataset, questions, index, side)])
        for name, side in sides.items()
    }
    return found, np.array([bool(one.answerable) for one in questions])


def figures(
    fitted: tuple[dict[str, Floats], Booleans], measured: tuple[dict[str, Floats], Booleans]
) -> dict[str, object]:
    """Return AUROC and F1 of each side, and their differences, with 95 % intervals."""
    scores, answerable = measured
    floors = {name: suggested_floor(best, fitted[1]) for name, best in fitted[0].items()}
    weights = np.concatenate([np.ones((1, len(answerable))), draws(len(answerable))])
    values = {
        "auroc": {name: Auroc(best, answerable)(weights) for name, best in scores.items()},
        "f1_at_the_suggested_floor": {
            name: f1(best < floors[name], ~answerable, weights) for name, best in scores.items()
        },
    }
    told: dict[str, object] = {
        label: {
            **{name: interval(found) for name, found in sides.items()},
            "difference": interval(sides["bundled"] - sides["against"]),
        }
        for label, sides in values.items()
    }
    return {"queries": len(answerable), "unanswerable": int((~answerable).sum()), **told}


def suggested_floor(best: Floats, answerable: Booleans) -> float:
    """Return the score below which refusing gives the highest F1."""
    once = np.ones((1, len(best)))
    return max((float(one) for one in np.unique(best)), key=lambda floor: float(f1(best < floor, ~answerable, once)[0]))


def f1(refused: Booleans, without: Booleans, weights: Floats) -> Floats:
    """Return the F1 of refusals for each row of weights, shape (rows, questions)."""
    return ratio(2.0 * (weights @ (refused & without)), weights @ refused + weights @ without)


def interval(resampled: Floats) -> list[float]:
    """Return the value of the sample itself, which comes first, and the 95 % interval of the resamples."""
    found = estimate(float(resampled[0]), resampled[1:])
    return [] if found is None else [round(one, 4) for one in (found.value, found.low, found.high)]


if __name__ == "__main__":
    main()
