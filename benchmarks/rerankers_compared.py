"""What does each kind of reranker give on the same questions, and how fast?

    ./do bench rerankers_compared --data DATA --cross-encoder FOLDER [--source FOLDER] [--queries 200]
        [--candidates 100] [--only NAME ...]

Each side reads the same development questions and BM25's first chunks, query by query in turn; the first query is
warm-up. Sides: the bundled model; the weights of --source, of which it was made, in PyTorch and float32, one pair at a
time; a cross-encoder of Sentence Transformers in float32 on the CPU; and that same one behind real HTTP servers on
loopback with the contracts of Cohere (asked by the official SDK) and of Text Embeddings Inference. The difference
between the last two and the one before is what a provider on the same machine costs besides its model.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from dev_lists import Listed, dev_lists
from pydantic import SecretStr
from record import environment_of, write_result
from stacking import interval

from second_opinion.pipeline.adapters.cohere_reranker import CohereOptions, CohereReranker
from second_opinion.pipeline.adapters.http_reranker import HttpOptions, HttpReranker
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.adapters.provider_calls import CallPolicy
from second_opinion.pipeline.adapters.torch_reranker import TorchReranker, TorchRerankerOptions
from second_opinion.training.sources import read_source

Scorer = Callable[[str, list[str]], list[float]]
PATIENT = CallPolicy(timeout=300.0, patience=600.0, retries=0)
BUNDLED, FLOAT = "bundled, int8", "bundled weights, torch fp32"
TORCH, COHERE, TEI = "sentence-transformers, CPU", "the same behind Cohere's contract", "the same behind TEI's contract"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cross-encoder", type=Path, required=True)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=(BUNDLED, FLOAT, TORCH, COHERE, TEI))
    chosen = parser.parse_args()
    source = ["--source", "MODEL"] if chosen.source else []
    sizes = ["--queries", str(chosen.queries), "--candidates", str(chosen.candidates)]
    given = ["--data", "DATA", "--cross-encoder", chosen.cross_encoder.name, *source, *sizes]
    environment = environment_of([sys.argv[0], *given])
    lists = dev_lists(chosen.data, chosen.queries, chosen.candidates)
    with opened(chosen) as sides:
        seconds, ndcg = interleave(sides, lists)
    rows = {name: figures(seconds[name], ndcg[name], lists, chosen.candidates) for name in sides}
    result = {"rerankers": rows, "queries": len(lists), "candidates": chosen.candidates}
    write_result("rerankers_compared", {**result, **environment})


@contextmanager
def opened(chosen: argparse.Namespace) -> Iterator[dict[str, Scorer]]:
    """Open the sides that were asked for."""
    sys.path.append(str(Path(__file__).parents[1]))
    from tests.servers.rerank_provider import KEY, MODEL, RerankProvider  # noqa: PLC0415 - the tests' own server

    bundled = OnnxReranker.open()
    torch = TorchReranker.open(
        TorchRerankerOptions(model=str(chosen.cross_encoder), device="cpu", local_files_only=True)
    )
    with RerankProvider(torch) as provider:
        cohere = CohereReranker.open(CohereOptions(MODEL, SecretStr(KEY), provider.url, policy=PATIENT))
        tei = HttpReranker.open(HttpOptions(f"{provider.url}/tei/rerank", MODEL, "logit", "tei", policy=PATIENT))
        sides: dict[str, Scorer] = {BUNDLED: bundled.score, TORCH: torch.score, COHERE: cohere.score, TEI: tei.score}
        if chosen.source is not None:
            reference = read_source(chosen.source).reference
            sides[FLOAT] = lambda query, passages: reference([(query, one) for one in passages]).tolist()
        yield {name: sides[name] for name in chosen.only or sides}
    bundled.close()


def interleave(sides: dict[str, Scorer], lists: list[Listed]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return seconds and nDCG@10 of each side by query."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    ndcg: dict[str, list[float]] = {name: [] for name in sides}
    for score in sides.values():
        score(lists[0].question, lists[0].passages[:8])
    for listed in lists:
        for name, score in sides.items():
            begun = time.perf_counter()
            found = score(listed.question, listed.passages)
            seconds[name].append(time.perf_counter() - begun)
            ndcg[name].append(listed.ndcg(found))
    return seconds, ndcg


def figures(seconds: list[float], ndcg: list[float], lists: list[Listed], candidates: int) -> dict[str, Any]:
    """Return the figures of one side; the median is over questions with as many candidates as were asked for."""
    whole = [one for one, listed in zip(seconds, lists, strict=True) if len(listed.passages) == candidates]
    return {
        "ndcg10": interval(np.array(ndcg)),
        "pairs_a_second": round(sum(len(one.passages) for one in lists) / sum(seconds), 1),
        "p50_milliseconds": round(1_000 * statistics.median(whole), 1) if whole else None,
    }


if __name__ == "__main__":
    main()
