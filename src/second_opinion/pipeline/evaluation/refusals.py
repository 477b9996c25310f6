"""Refusals: what is refused and should be, and what every floor would do."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from second_opinion.pipeline.evaluation.datasets import Dataset, relevant_documents
from second_opinion.pipeline.evaluation.sample import Sample
from second_opinion.pipeline.resampling import Booleans, Floats
from second_opinion.pipeline.tracing import showable
from second_opinion.schemas.evaluation import AskedQuery, FloorPoint, RefusalFigures
from second_opinion.schemas.trace import deciding
from second_opinion.schemas.verdict import Outcome

FLOORS: Final = tuple(step / 50 for step in range(51))


def refusal_figures(asked: Sequence[tuple[Dataset, AskedQuery]], sample: Sample) -> RefusalFigures | None:
    """Return how well refusals fit; None where it is known of no query whether it has an answer.

    Without unanswerable queries there is no precision, recall or F1: every refusal is then a wrong one.
    """
    known, without = _answerability(asked)
    if not known.any():
        return None
    refused = np.array([one.outcome is Outcome.REFUSED for _, one in asked]) & known
    rightly = (refused & without).astype(np.float64)
    best = np.array([one.deciding_relevance for _, one in asked])
    places = np.flatnonzero(known)
    has_both = bool(without.any())
    counts = refused.astype(np.float64) + without
    return RefusalFigures(
        answerable=int((known & ~without).sum()),
        unanswerable=int(without.sum()),
        refused=int(refused.sum()),
        precision=sample.share(rightly, refused.astype(np.float64)) if has_both else None,
        recall=sample.share(rightly, without.astype(np.float64)),
        f1=sample.quotient(2.0 * rightly, counts) if has_both else None,
        wrongly_refused=sample.share((refused & ~without).astype(np.float64), (known & ~without).astype(np.float64)),
        auroc=sample.auroc(best[places], ~without[places], places),
    )


def floor_points(asked: Sequence[tuple[Dataset, AskedQuery]]) -> tuple[FloorPoint, ...]:
    """Return what each floor from 0 to 1 would do, every other choice as it was."""
    if not asked:
        return ()
    floors = np.array(FLOORS)
    kept, right = (np.zeros((len(asked), len(floors))) for _ in range(2))
    for row, (dataset, one) in enumerate(asked):
        kept[row], right[row] = _shown(one, relevant_documents(dataset, one.query_id), floors)
    known, without = _answerability(asked)
    has_relevant = np.array([bool(relevant_documents(dataset, one.query_id)) for dataset, one in asked]) & ~without
    answered = kept > 0.0
    found = []
    for column, floor in enumerate(FLOORS):
        refused, hit = ~answered[:, column] & known, right[:, column] > 0.0
        found.append(
            FloorPoint(
                floor=floor,
                answered=float(answered[:, column].mean()),
                kept_per_query=float(kept[:, column].mean()),
                precision=_share(right[:, column].sum(), kept[:, column].sum()),
                hits=_share((hit & has_relevant).sum(), has_relevant.sum()),
                refusal_f1=_share(2.0 * (refused & without).sum(), refused.sum() + without.sum())
                if without.any()
                else None,
                answered_rightly=_share((hit & answered[:, column]).sum(), answered[:, column].sum()),
            )
        )
    return tuple(found)


def _shown(asked: AskedQuery, relevant: frozenset[str], floors: Floats) -> tuple[Floats, Floats]:
    """Return how many passages each floor shows, and how many relevant ones, [F] each."""
    candidates = sorted(asked.candidates, key=lambda one: one.rank)
    within = showable([(one.document_id, one.relevance) for one in candidates], asked.choices)
    kept, right = np.zeros(len(floors)), np.zeros(len(floors))
    for candidate, is_within in zip(candidates, within, strict=True):
        shown = (deciding(candidate.relevance, asked.query_relevance) >= floors) & is_within
        kept += shown
        right += shown & (candidate.document_id in relevant)
    return kept, right


def _answerability(asked: Sequence[tuple[Dataset, AskedQuery]]) -> tuple[Booleans, Booleans]:
    """Return of each query whether it is known if it has an answer, and whether it is known to have none."""
    answers = [dataset.questions[one.query_id].answerable for dataset, one in asked]
    return np.array([one is not None for one in answers], dtype=np.bool_), np.array(
        [one is False for one in answers], dtype=np.bool_
    )


def _share(over: float, under: float) -> float | None:
    return float(over / under) if under > 0.0 else None
