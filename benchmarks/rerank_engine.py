"""How many pairs a second does the engine score, against `CrossEncoder.predict` as it comes?

    ./do bench rerank_engine --source FOLDER [--data FOLDER] [--queries 4] [--rounds 5] [--threads 0]

The folder of --source holds a cross-encoder in PyTorch, float32, in Hugging Face's layout; it is exported first, so
that both sides have the same weights. Passages are chunks of real text where --data names a data set, else of the
samples. Sides take turns, query by query, so that whatever else the machine does falls on all. The bundled model, whose
weights have no form that `CrossEncoder` reads, is timed beside them. --threads gives every side as many threads; 0 is
each side's default. On a busy machine use 1: PyTorch's threads wait for one another, and a neighbour makes it look
worse than it is. Needs the `torch` extra.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import environment_of, write_result
from sentence_transformers import CrossEncoder

from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.evaluation.datasets import Passage, read_dataset
from second_opinion.samples import samples_folder
from second_opinion.training.candidates import cut_passage
from second_opinion.training.export import Label, export
from second_opinion.training.onnx_encoder import Recipe
from second_opinion.training.sources import read_source

CANDIDATES = 100
Scorer = Callable[[str, list[str]], list[float]]


def main() -> None:
    """Run, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    environment = environment_of(sys.argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    environment["versions"] |= {name: version(name) for name in ("torch", "sentence-transformers")}
    with tempfile.TemporaryDirectory() as folder:
        export(read_source(options.source), Path(folder), Label("measured"), Recipe())
        engine = OnnxReranker(Path(folder), threads=options.threads)
    # Weights kept in half precision would be computed in it, which a CPU does at a sixth of the speed.
    single = {"dtype": torch.float32}
    torch_model = CrossEncoder(
        str(options.source), device="cpu", max_length=engine.spec.max_tokens, model_kwargs=single
    )
    work = load(options.data, options.queries)
    sides: dict[str, Scorer] = {
        "engine": engine.score,
        "cross_encoder_predict": lambda query, passages: predict(torch_model, query, passages),
        "bundled_model": OnnxReranker.open(threads=options.threads).score,
    }
    times, scores = interleave(sides, work, options.rounds)
    result = report(times, scores, work)
    result["tokens_a_pair"] = round(mean_tokens(engine, work), 1)
    result["kernel"], result["threads"] = engine.spec.kernel, options.threads or "default"
    write_result("rerank_engine", {**result, "note": options.note, **environment})


def load(data: Path | None, queries: int) -> list[tuple[str, list[str]]]:
    """Return queries, each with its candidates: neighbouring chunks of one corpus."""
    embedder = OnnxEmbedder.open()
    if data is None:
        documents = [Passage(path.stem, path.stem, path.read_text("utf-8")) for path in samples_folder().glob("*.md")]
        questions = ["ibuprofen dosage for children", "how to keep a sourdough starter", "can I get a refund"]
    else:
        dataset = read_dataset(data)
        documents = list(dataset.passages.values())[: 4 * CANDIDATES]
        questions = [one.text for one in dataset.questions.values()]
    chunks = [chunk for one in documents for chunk in cut_passage(one, embedder.tokenizer)]
    embedder.close()
    while len(chunks) < CANDIDATES:
        chunks += chunks
    start = (len(chunks) - CANDIDATES) // queries
    return [(questions[n % len(questions)], chunks[n * start : n * start + CANDIDATES]) for n in range(queries)]


def predict(model: CrossEncoder, query: str, passages: list[str]) -> list[float]:
    """Score as a caller does who changes no default, but for the raw logit."""
    pairs = [(query, passage) for passage in passages]
    found = model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    return [float(one) for one in np.ravel(found)]


def interleave(
    sides: dict[str, Scorer], work: list[tuple[str, list[str]]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return seconds and scores of each side; the first round is warm-up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    scores: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for query, passages in work:
            for name, score in sides.items():
                begun = time.perf_counter()
                found = score(query, passages)
                if number == 0:
                    scores[name] += found
                else:
                    times[name].append(time.perf_counter() - begun)
    return times, scores


def report(
    times: dict[str, list[float]], scores: dict[str, list[float]], work: list[tuple[str, list[str]]]
) -> dict[str, Any]:
    """Return pairs a second of each side, their ratio, and how far apart the scores are."""
    pairs = len(work[0][1])
    speed = {name: pairs / statistics.median(found) for name, found in times.items()}
    ratios = sorted(b / a for a, b in zip(times["engine"], times["cross_encoder_predict"], strict=True))
    gap = np.abs(np.array(scores["engine"]) - np.array(scores["cross_encoder_predict"]))
    return {
        "pairs_a_second": {name: round(found, 1) for name, found in speed.items()},
        "ratio": round(statistics.median(ratios), 2),
        "ratio_10_to_90": [round(ratios[len(ratios) // 10], 2), round(ratios[-1 - len(ratios) // 10], 2)],
        "logit_gap": {"mean": round(float(gap.mean()), 4), "p99": round(float(np.quantile(gap, 0.99)), 4)},
        "queries": len(work),
        "candidates": pairs,
        "measured": len(ratios),
    }


def mean_tokens(engine: OnnxReranker, work: list[tuple[str, list[str]]]) -> float:
    """Return the mean length of the pairs."""
    read = engine.tokenizer
    return statistics.mean(read.pair(read.query(q), p).ids.shape[1] for q, passages in work for p in passages)


if __name__ == "__main__":
    main()
