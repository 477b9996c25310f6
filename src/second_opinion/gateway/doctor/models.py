"""The models: their files are whole, they load, and they say what they said when they were made."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from second_opinion.gateway.doctor.findings import Finding, failed, failed_with, warning, well
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.ports import Breaker
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.workers.rerankers import OpenedReranker, open_breaker, open_rate_limit, open_reranker
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
    """Load the rerankers and their calibrations; see that an answer beats another text. Providers are not asked."""
    definitions, breaker, limit = settings.reranker_definitions(), open_breaker(settings), open_rate_limit(settings)
    for name in settings.served_rerankers():
        part = "reranker" if name == settings.reranker else f"reranker {name}"
        try:
            opened = open_reranker(name, definitions[name], settings, breaker=breaker, limit=limit)
            yield _provider(part, opened, breaker) if opened.is_remote else _model(part, opened)
        except OpinionError as problem:
            yield failed_with(part, problem)


def _provider(part: str, opened: OpenedReranker, breaker: Breaker) -> Finding:
    spec, state = opened.reranker.spec, breaker.state(opened.name)
    told = f"{spec.model} at {spec.revision}, calibration {opened.calibration.id or 'none'}, breaker {state.state}"
    if state.state == "closed":
        return well(part, told)
    hint = "It failed again and again: look at its status, its key and the network. The breaker closes by itself."
    return warning(part, f"{told} after {state.failures} failures", hint)


def _model(part: str, opened: OpenedReranker) -> Finding:
    reranker, calibration = opened.reranker, opened.calibration
    good, bad = reranker.score(QUESTION, [ANSWER, OTHER])
    spec = reranker.spec
    told = f"{spec.model}, revision {spec.revision[:12]}, {spec.dtype}, {spec.kernel or 'remote'}"
    if good <= bad:
        return failed(part, f"{told}: its scores make no sense", "Install second-opinion again.")
    if calibration.source is CalibrationSource.NONE:
        return warning(part, f"{told}, not calibrated", "Fit one: python -m second_opinion.training.calibrate")
    return well(part, f"{told}, calibration {calibration.id}")
