"""Records what the bundled models score on the golden pairs, beside what PyTorch computes in float32.

    python tests/golden/record.py RERANKER_SOURCE EMBEDDER_SOURCE

Run it after an export and look at the difference: these files change only when a model does.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_model import read_manifest
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.training.sources import read_source

HERE = Path(__file__).parent
PAIRS = [(pair["query"], pair["passage"]) for pair in json.loads((HERE / "pairs.json").read_text(encoding="utf-8"))]


def reranker_scores(source: Path) -> dict[str, Any]:
    """Score the pairs with both."""
    reranker = OnnxReranker.open()
    shipped = [reranker.score(query, [passage])[0] for query, passage in PAIRS]
    reference = [float(score) for score in read_source(source).reference(PAIRS)]
    return {"model_sha256": reranker.spec.file_hash, "kernel": reranker.spec.kernel, **_both(shipped, reference)}


def embedder_cosines(source: Path) -> dict[str, Any]:
    """Compute the cosine of each query with its passage with both."""
    embedder = OnnxEmbedder.open()
    texts = [text for pair in PAIRS for text in pair]
    shipped, reference = embedder.embed_passages(texts), read_source(source).reference(texts)
    file_hash = read_manifest(model_folder("bundled", "embedder"), "embedder").model_sha256
    return {"model_sha256": file_hash, **_both(_cosines(shipped), _cosines(reference))}


def _cosines(vectors: np.ndarray[Any, Any]) -> list[float]:
    return [float(query @ passage) for query, passage in zip(vectors[::2], vectors[1::2], strict=True)]


def _both(shipped: list[float], reference: list[float]) -> dict[str, list[float]]:
    return {"shipped": [round(one, 5) for one in shipped], "reference": [round(one, 5) for one in reference]}


if __name__ == "__main__":
    found = {"reranker": reranker_scores(Path(sys.argv[1])), "embedder": embedder_cosines(Path(sys.argv[2]))}
    for name, golden in found.items():
        (HERE / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
        gap = np.abs(np.array(golden["shipped"]) - np.array(golden["reference"]))
        sys.stdout.write(f"{name}: {len(PAIRS)} pairs, off by {gap.mean():.4f} on average, {gap.max():.4f} at most\n")
