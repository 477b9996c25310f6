"""Does the int8 export order candidates as the same weights do in PyTorch and float32?

    ./do bench rerank_agreement --source FOLDER --data DATA [--queries 200] [--candidates 100]

The folder of --source holds a trained cross-encoder, of this package's training or in Hugging Face's layout. Where its
weights are those of the bundled model, as the revisions tell, the bundled one is measured as it is shipped; otherwise
the source is exported as the bundled one was. Both sides read the same development questions and BM25's first chunks.
Kendall's tau is over the passages that either side has among its first ten, by their scores. Of the bundled one,
relevance by its own calibration is compared too.
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
from second_opinion.pipeline.adapters.onnx_model import CALIBRATION_FILE, read_manifest
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.calibration import CalibrationArtefact, load_artefact
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.training.export import Label, export
from second_opinion.training.onnx_encoder import Recipe
from second_opinion.training.sources import Source, read_source

Scores = NDArray[np.float64]
FLOOR, NEAR = QueryDefaults().floor, (0.2, 0.6)


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
        found = [np.array(reranker.score(one.question, one.passages)) for one in lists]
        rows = [row(*one) for one in zip(lists, exact, found, strict=True)]
        artefact = load_artefact(exported / CALIBRATION_FILE) if is_bundled else None
        reranker.close()
    figures = {name: interval(np.array([one[name] for one in rows])) for name in rows[0]}
    result = {
        "model": f"{reranker.spec.model}@{reranker.spec.revision}",
        "is_the_bundled_one": is_bundled,
        "kernel": reranker.spec.kernel,
        "queries": len(rows),
        "candidates": chosen.candidates,
        "mean_and_95_percent_interval": figures,
        **({} if artefact is None else verdicts(np.concatenate(exact), np.concatenate(found), artefact)),
    }
    write_result("rerank_agreement", {**result, **environment})


def exported_by(source: Source, folder: Path) -> tuple[Path, bool]:
    """Return the folder of these weights in int8, and whether it is the bundled one."""
    bundled = model_folder("bundled", "reranker")
    if read_manifest(bundled, "reranker").revision == source.revision:
        return bundled, True
    export(source, folder, Label("measured"), Recipe())
    return folder, False


def verdicts(exact: Scores, found: Scores, artefact: CalibrationArtefact) -> dict[str, object]:
    """Return how far relevance is apart where verdicts are made, and how many verdicts at the default floor differ."""
    known, measured = (np.array([artefact.curve.relevance(one) for one in some]) for some in (exact, found))
    near = (known >= NEAR[0]) & (known <= NEAR[1])
    apart, flipped = np.abs(measured - known), (measured >= FLOOR) != (known >= FLOOR)
    return {
        "pairs": len(exact),
        "pairs_with_relevance_0.2_to_0.6": int(near.sum()),
        "relevance_gap_there": {
            "mean": round(float(apart[near].mean()), 4),
            "p99": round(float(np.quantile(apart[near], 0.99)), 4),
        },
        "verdicts_at_0.4_flipped_percent": {
            "of all": round(100 * float(flipped.mean()), 3),
            "of those there": round(100 * float(flipped[near].mean()), 3),
        },
    }


def row(listed: Listed, exact: Scores, found: Scores) -> dict[str, float]:
    """Return how int8 orders one question's candidates beside their exact scores, and how far apart the logits are."""
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
