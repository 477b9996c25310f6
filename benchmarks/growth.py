"""How does the cost of a second opinion grow: with the length of a passage, with the candidates, with callers?

    ./do bench growth --data FOLDER [--rounds 3]

Runs the bundled reranker alone: pairs cut to a number of tokens, lists of a number of candidates, and callers that come
at once. Draws `results/growth.svg` where matplotlib is installed (extra `evaluation`).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from corpus import documents, passages, questions
from record import RESULTS, environment_of, write_result

from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.chunking import open_chunker

TOKENS = (32, 64, 96, 128, 192, 256, 320, 384)
CANDIDATES = (10, 25, 50, 100, 200)
CALLERS = (1, 2, 4, 8, 16)
PAIRS = 16
CALLER_PASSAGES = 20


def main() -> None:
    """Run, print, keep and draw the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    environment = environment_of(sys.argv)
    reranker = OnnxReranker.open()
    query = questions(options.data, 1)[0]
    texts = passages(documents(options.data, max(CANDIDATES)), open_chunker())[: max(CANDIDATES)]
    reranker.score(query, texts[:PAIRS])
    curves = {
        "tokens": by_tokens(reranker, options.rounds),
        "candidates": by_candidates(reranker, query, texts, options.rounds),
        "callers": by_callers(reranker, query, texts, options.rounds),
    }
    model = f"{reranker.spec.model}@{reranker.spec.revision}"
    write_result("growth", {"reranker": model, "kernel": reranker.spec.kernel, **curves, **environment})
    draw(curves, model)


def seconds_of(work: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of a piece of work."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def by_tokens(reranker: OnnxReranker, rounds: int) -> dict[str, float]:
    """Return milliseconds a pair, of pairs of so many tokens on all runners together; which tokens does not matter."""
    read, question = reranker.tokenizer, "What is this about?"
    empty = read.pair(read.query(question), "").ids.shape[1]
    found = {}
    for tokens in TOKENS:
        passage = "water " * (tokens - empty)
        assert read.pair(read.query(question), passage).ids.shape[1] == tokens
        spent = seconds_of(lambda passage=passage: reranker.score(question, [passage] * PAIRS), rounds)
        found[str(tokens)] = round(spent / PAIRS * 1_000, 3)
    return found


def by_candidates(reranker: OnnxReranker, query: str, texts: list[str], rounds: int) -> dict[str, float]:
    """Return milliseconds of a query of so many candidates."""
    return {
        str(count): round(seconds_of(lambda count=count: reranker.score(query, texts[:count]), rounds) * 1_000, 1)
        for count in CANDIDATES
    }


def by_callers(reranker: OnnxReranker, query: str, texts: list[str], rounds: int) -> dict[str, float]:
    """Return milliseconds until the last of so many callers has its scores, each with twenty candidates."""
    found = {}
    with ThreadPoolExecutor(max(CALLERS)) as pool:
        for callers in CALLERS:
            work = [texts[:CALLER_PASSAGES]] * callers
            spent = seconds_of(
                lambda work=work: list(pool.map(lambda one: reranker.score(query, one), work)), max(1, rounds - 1)
            )
            found[str(callers)] = round(spent * 1_000, 1)
    return found


def draw(curves: dict[str, dict[str, float]], model: str) -> None:
    """Draw the three curves, each from zero."""
    try:
        from matplotlib import pyplot as plt  # noqa: PLC0415 - an optional extra
    except ImportError:
        return
    labels = {"tokens": "tokens of a pair", "candidates": "candidates of a query", "callers": "callers at once"}
    whats = {"tokens": "ms a pair", "candidates": "ms a query", "callers": "ms until the last has its answer"}
    figure, axes = plt.subplots(1, len(curves), figsize=(12, 3.6), layout="constrained")
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        points: list[Any] = [float(one) for one in curve]
        axis.plot(points, list(curve.values()), marker="o")
        axis.set(xlabel=labels[name], ylabel=whats[name], ylim=(0, None), xlim=(0, None))
        axis.grid(alpha=0.3)
    figure.suptitle(f"What a second opinion costs: {model}")
    figure.savefig(RESULTS / "growth.svg")


if __name__ == "__main__":
    main()
