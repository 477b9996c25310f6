"""The models: their files are whole, they load, and they say what they said when they were made."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from second_opinion.gateway.doctor.findings import Finding, failed, warning, well
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.workers.bootstrap import open_reranker
from second_opinion.workers.settings import Settings

QUESTION: Final = "How long can opened milk be kept in the refrigerator?"
ANSWER: Final = "Once opened, milk keeps for about three days in the refrigerator."
OTHER: Final = "The ferry to the island leaves from the eastern pier."


def check_embedder(settings: Settings) -> Iterator[Finding]:
    """Load the bi-encoder and see that a question is nearer to its answer than to something else."""
    embedder = OnnxEmbedder.open(settings.embedder_model, threads=1)
    question, answer, other = embedder.embed_passages([QUESTION, ANSWER, OTHER])
    spec = embedder.spec
    told = f"{spec.model}, revision {spec.revision}, {spec.dims} dims"
    if not math.isclose(float(np.linalg.norm(question)), 1.0, abs_tol=1e-3) or question @ answer <= question @ other:
        yield failed("embedder", f"{told}: its vectors make no sense", "Install second-opinion again.")
    else:
        yield well("embedder", told)


def check_reranker(settings: Settings) -> Iterator[Finding]:
    """Load the cross-encoder and its calibration, which scores known pairs; see that an answer beats another text."""
    reranker, calibration = open_reranker(settings)
    good, bad = reranker.score(QUESTION, [ANSWER, OTHER])
    spec = reranker.spec
    told = f"{spec.model}, revision {spec.revision[:12]}, {spec.dtype}, {spec.kernel or 'remote'}"
    if good <= bad:
        yield failed("reranker", f"{told}: its scores make no sense", "Install second-opinion again.")
    elif calibration.source is CalibrationSource.NONE:
        hint = "Fit one: python -m second_opinion.training.calibrate"
        yield warning("reranker", f"{told}, not calibrated", hint)
    else:
        yield well("reranker", f"{told}, calibration {calibration.id}")
