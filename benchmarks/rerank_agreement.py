"""Does the int8 export order candidates as the same weights do in PyTorch and float32?

    ./do bench rerank_agreement --source FOLDER --data DATA [--queries 200] [--candidates 100]

The folder of --source holds a trained cross-encoder, of this package's training or in Hugging Face's layout. Where its
weights are those of the bundled model, as the revisions tell, the bundled one is measured as it is shipped; otherwise
the source is exported as the bundled one was. Both sides read the same development questions and BM25's first chunks.
Kendall's tau is over the passages that either side has among its first ten, by their scores.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from dev_lists import CUT, Listed, dev_lists
from numpy.typing import NDArray
from record import environment_of, write_result
from scipy.stats import kendalltau
from stacking import interval

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_model import read_manifest
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.training.export import Label, export
from second_opinion.training.onnx_encoder import Recipe
from second_opinion.training.sources import Source, read_source

Scores = NDArray[np.float64]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=100)
    chosen = parser.parse_args()
    sizes = ["--data", "DATA", "--queries", str(chosen.queries), "--candidates", str(chosen.candidates)]
    environment = environment_of([sys.argv[0], "--source", "MODEL", *sizes])
    source = read_source(chosen.source)
    with tempfile.TemporaryDirectory() as folder:
        exported, is_bundled = exported_by(source, Path(folder))
        reranker = OnnxReranker(exported)
        lists = dev_lists(chosen.data, chosen.queries, chosen.candidates)
        pairs = [(one.question, passage) for one in lists for passage in one.passages]
        ends = np.cumsum([len(one.passages) for one in lists])[:-1]
        exact = np.split(np.asarray(source.reference(pairs), dtype=np.float64), ends)
        rows = [row(one, scores, reranker) for one, scores in zip(lists, exact, strict=True)]
        reranker.close()
    figures = {name: interval(np.array([one[name] for one in rows])) for name in rows[0]}
    result = {
        "model": f"{reranker.spec.model}@{reranker.spec.revision}",
        "is_the_bundled_one": is_bundled,
        "kernel": reranker.spec.kernel,
        "queries": len(rows),
        "candidates": chosen.candidates,
        "mean_and_95_percent_interval": figures,
    }
    write_result("rerank_agreement", {**result, **environment})


def exported_by(source: Source, folder: Path) -> tuple[Path, bool]:
    """Return the folder of these weights in int8, and whether it is the bundled one."""
    bundled = model_folder("bundled", "reranker")
    if read_manifest(bundled, "reranker").revision == source.revision:
        return bundled, True
    export(source, folder, Label("measured"), Recipe())
    return folder, False


def row(listed: Listed, exact: Scores, reranker: OnnxReranker) -> dict[str, float]:
    """Return how int8 orders one question's candidates beside their exact scores, and how far apart the logits are."""
    found = np.array(reranker.score(listed.question, listed.passages))
    nearest = {*np.argsort(-exact, kind="stable")[:CUT], *np.argsort(-found, kind="stable")[:CUT]}
    head = sorted(int(place) for place in nearest)
    return {
        "kendall_tau_at_10": float(kendalltau(exact[head], found[head]).statistic),
        "ndcg10_float32": listed.ndcg(exact),
        "ndcg10_int8": listed.ndcg(found),
        "ndcg10_int8_minus_float32": listed.ndcg(found) - listed.ndcg(exact),
        "logit_gap": float(np.abs(found - exact).mean()),
        "same_best": float(np.argmax(found) == np.argmax(exact)),
    }


if __name__ == "__main__":
    main()
