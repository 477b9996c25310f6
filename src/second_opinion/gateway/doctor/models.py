"""The models: their files are whole, they load, and they say what they said when they were made."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from second_opinion.gateway.doctor.findings import Finding, failed, failed_with, warning, well
from second_opinion.pipeline.ports import BreakerState
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.usage import DailyUsage
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.workers.embedders import open_embedder
from second_opinion.workers.rerankers import OpenedReranker, open_limits, open_reranker
from second_opinion.workers.settings import Settings

QUESTION: Final = "How long can opened milk be kept in the refrigerator?"
ANSWER: Final = "Once opened, milk keeps for about three days in the refrigerator."
OTHER: Final = "The ferry to the island leaves from the eastern pier."


def check_embedder(settings: Settings) -> Iterator[Finding]:
    """Load the bi-encoder and see that a question is nearer to its answer than to something else."""
    embedder = open_embedder(settings.model_copy(update={"model_threads": 1}))
    question, answer, other = embedder.embed_passages([QUESTION, ANSWER, OTHER])
    spec = embedder.spec
    told = f"{spec.model}, revision {spec.revision}, {spec.dims} dims"
    if not math.isclose(float(np.linalg.norm(question)), 1.0, abs_tol=1e-3) or question @ answer <= question @ other:
        yield failed("embedder", f"{told}: its vectors make no sense", "Install second-opinion again.")
    else:
        yield well("embedder", told)


def check_reranker(settings: Settings) -> Iterator[Finding]:
    """Load the rerankers and their calibrations; see that an answer beats another text. Providers are not asked."""
    definitions, limits = settings.reranker_definitions(), open_limits(settings)
    for name in settings.served_rerankers():
        part = "reranker" if name == settings.reranker else f"reranker {name}"
        try:
            opened = open_reranker(name, definitions[name], settings, limits)
            if opened.is_remote:
                spent = [one for one in limits.book.read(1) if one.name == name] if limits.book is not None else []
                yield _provider(part, opened, limits.breaker.state(name), spent)
            else:
                yield _model(part, opened)
        except OpinionError as problem:
            yield failed_with(part, problem)


def _provider(part: str, opened: OpenedReranker, state: BreakerState, spent: Sequence[DailyUsage]) -> Finding:
    spec = opened.reranker.spec
    told = f"{spec.model} at {spec.revision}, calibration {opened.calibration.id or 'none'}, breaker {state.state}"
    cost = "".join(f", {one.requests:,} requests and {one.search_units:g} search units today" for one in spent)
    if state.refusal:
        hint = (
            "Correct its definition in OPINION_RERANKERS, its key or the account, and start the rerank workers again."
        )
        return failed(part, f"{told}{cost}; it refused the last call: {state.refusal}", hint)
    if state.state == "closed":
        return well(part, f"{told}{cost}")
    left = f" and left alone for {state.seconds_left:.0f} s" if state.state == "open" else ""
    hint = "Look at its status and the network: opinion logs rerank. The breaker closes with the first call that works."
    return warning(part, f"{told} after {state.failures} failures in a row{left}{cost}", hint)


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
