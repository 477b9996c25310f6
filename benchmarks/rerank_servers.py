"""How many pairs a second does the engine score, against FlashRank and against `infinity_emb` with the same weights?

    ./do bench rerank_servers --source FOLDER --data FOLDER [--queries 2] [--rounds 3]

The folder of --source holds a BERT cross-encoder in Hugging Face's layout, which all three can load. FlashRank gets it
as its own models are made: exported by PyTorch with padding and mask, then quantised dynamically to int8 by ONNX
Runtime; infinity serves it on torch in float32, its default on a CPU, over HTTP. Each runs in an environment of its
own, made in the user's cache when `OPINION_TEST_INFINITY=1` or `CI=true`. All have all cores; sides take turns, query
by query.
Needs the `torch` extra.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from record import environment_of, write_result
from rerank_engine import CANDIDATES, load, mean_tokens
from scipy.stats import spearmanr
from transformers import AutoModelForSequenceClassification

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.servers.environments import EnvironmentMissing, environment
from tests.servers.infinity import MODEL, serving

from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.training.export import Label, export
from second_opinion.training.onnx_encoder import Recipe
from second_opinion.training.sources import read_source

FLASHRANK = ("flashrank==0.2.10",)
# FlashRank takes only models that it knows by name; the folder of this one is filled with other weights.
NAME, FILE = "ms-marco-MiniLM-L-12-v2", "flashrank-MiniLM-L-12-v2_Q.onnx"
COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json")
SPECIAL = {
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}
Scorer = Callable[[str, list[str]], list[float]]


def main() -> None:
    """Run, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--queries", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    options = parser.parse_args()
    told = environment_of(sys.argv)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        export(read_source(options.source), folder / "engine", Label("measured"), Recipe())
        engine = OnnxReranker(folder / "engine")
        work = [(query, found[: options.candidates]) for query, found in load(options.data, options.queries)]
        sides: dict[str, Scorer] = {"engine": engine.score}
        missing: dict[str, str] = {}
        for name, opened in (("flashrank", flashrank), ("infinity", infinity)):
            try:
                sides[name] = running.enter_context(opened(options.source, folder, engine.spec.max_tokens))
            except EnvironmentMissing as problem:
                missing[name] = str(problem).splitlines()[0]
        times, scores = interleaved(sides, work, options.rounds)
    pairs = len(work[0][1])
    result: dict[str, Any] = {
        "pairs_a_second": {name: round(pairs / statistics.median(found), 1) for name, found in times.items()},
        "ratio": {
            name: round(statistics.median(b / a for a, b in zip(times["engine"], found, strict=True)), 2)
            for name, found in times.items()
        },
        "goal": 2.0,
        "rank_correlation_with_the_engine": {
            name: round(float(spearmanr(scores["engine"], found).statistic), 4) for name, found in scores.items()
        },
        "missing": missing,
        "candidates": pairs,
        "queries": len(work),
        "rounds": options.rounds,
        "tokens_a_pair": round(mean_tokens(engine, work), 1),
    }
    write_result("rerank_servers", {**result, **told})


def interleaved(
    sides: dict[str, Scorer], work: list[tuple[str, list[str]]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return seconds of each side, query by query, and the scores of the first query; the first round is warm-up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    scores = {name: score(*work[0]) for name, score in sides.items()}
    for _ in range(rounds):
        for query, passages in work:
            for name, score in sides.items():
                begun = time.perf_counter()
                score(query, passages)
                times[name].append(time.perf_counter() - begun)
    return times, scores


@contextmanager
def flashrank(source: Path, folder: Path, max_tokens: int) -> Iterator[Scorer]:
    """Serve the weights by FlashRank in a process of its own."""
    python = environment("flashrank", FLASHRANK) / "bin" / "python"
    home = folder / "flashrank" / NAME
    home.mkdir(parents=True)
    for name in COMPANIONS:
        if (source / name).exists():
            shutil.copy(source / name, home / name)
    if not (home / "special_tokens_map.json").exists():
        (home / "special_tokens_map.json").write_text(json.dumps(SPECIAL), encoding="utf-8")
    export_padded(source, folder / "padded.onnx")
    quantize_dynamic(folder / "padded.onnx", home / FILE, weight_type=QuantType.QInt8)
    command = [str(python), str(Path(__file__).parent / "flashrank_side.py"), str(home.parent), NAME, str(max_tokens)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers, asks = process.stdout, process.stdin
        json.loads(answers.readline())

        def score(query: str, passages: list[str]) -> list[float]:
            asks.write(json.dumps({"query": query, "passages": passages}) + "\n")
            asks.flush()
            found: list[float] = json.loads(answers.readline())["scores"]
            return found

        yield score
        asks.close()


def export_padded(source: Path, path: Path) -> None:
    """Export by PyTorch with a mask and any batch, as FlashRank's own models are."""
    model = AutoModelForSequenceClassification.from_pretrained(source, dtype=torch.float32).eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tuple(torch.ones((2, 16), dtype=torch.int64) for _ in names)

    class Positional(torch.nn.Module):
        """The model with its inputs in this order, and only the logits."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
            """Return the logits."""
            logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
            return logits

    axes = {name: {0: "batch", 1: "tokens"} for name in names}
    torch.onnx.export(
        Positional(), example, str(path), input_names=names, output_names=["logits"], dynamic_axes=axes, dynamo=False
    )


@contextmanager
def infinity(source: Path, folder: Path, _max_tokens: int) -> Iterator[Scorer]:
    """Serve the weights by infinity."""
    with serving(source, folder / "infinity.log") as url:

        def score(query: str, passages: list[str]) -> list[float]:
            body = json.dumps({"model": MODEL, "query": query, "documents": passages, "raw_scores": True}).encode()
            told = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{url}/rerank", body, told)  # noqa: S310 - our own loopback URL
            with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
                rows = json.load(answer)["results"]
            found = {row["index"]: float(row["relevance_score"]) for row in rows}
            return [found[place] for place in range(len(passages))]

        yield score


if __name__ == "__main__":
    main()
