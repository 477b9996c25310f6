"""How far relevance is from what is observed.

Over all candidates of a query such figures say nothing: nearly all are irrelevant, and a constant 0.01 would look
perfect. So they are taken over the first candidate of each query, over those from 0.1 on, and over those between 0.3
and 0.5: all of them, and those so far in front that a floor would show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from second_opinion.pipeline.calibration_error import ExpectedError, near_floor
from second_opinion.pipeline.evaluation.datasets import Dataset, is_judged, relevant_documents
from second_opinion.pipeline.evaluation.sample import Sample
from second_opinion.pipeline.resampling import Booleans, Floats, Places, estimate
from second_opinion.schemas.evaluation import (
    AskedQuery,
    CalibrationBlock,
    CalibrationFigures,
    CalibrationReport,
)

SHOWN_FROM: Final = 0.1


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidates of queries, each array [P].

    Attributes:
        places: Place of the query that each belongs to.
        relevance: In [0, 1].
        relevant: Whether its document is relevant.
        judged: Whether the data set says so.
        ranks: Rank in its query, from 1.
    """

    places: Places
    relevance: Floats
    relevant: Booleans
    judged: Booleans
    ranks: Places

    def only(self, mask: Booleans) -> "Pairs":
        """Return some of them."""
        return Pairs(self.places[mask], self.relevance[mask], self.relevant[mask], self.judged[mask], self.ranks[mask])


def pairs_of(asked: Sequence[tuple[Dataset, AskedQuery]]) -> Pairs:
    """Return the candidates of queries, with labels; a chunk has the label of its document."""
    rows = []
    for place, (dataset, one) in enumerate(asked):
        relevant = relevant_documents(dataset, one.query_id)
        for candidate in one.candidates:
            document = candidate.document_id
            judged = is_judged(dataset, one.query_id, document)
            rows.append((place, candidate.relevance, document in relevant, judged, candidate.rank))
    columns = list(zip(*rows, strict=True)) or [()] * 5
    return Pairs(
        np.asarray(columns[0], dtype=np.intp),
        np.asarray(columns[1], dtype=np.float64),
        np.asarray(columns[2], dtype=np.bool_),
        np.asarray(columns[3], dtype=np.bool_),
        np.asarray(columns[4], dtype=np.intp),
    )


def calibration_report(asked: Sequence[AskedQuery], pairs: Pairs, sample: Sample, top_k: int) -> CalibrationReport:
    """Return how well relevance is calibrated over the candidates that matter."""
    near = near_floor(pairs.relevance)
    return CalibrationReport(
        top_1=_block(pairs.only(pairs.ranks == 1), sample),
        from_0_1=_block(pairs.only(pairs.relevance >= SHOWN_FROM), sample),
        from_0_3_to_0_5=_block(pairs.only(near), sample),
        first_from_0_3_to_0_5=_block(pairs.only(near & (pairs.ranks <= top_k)), sample),
        query_level=_query_level(asked, pairs, sample),
    )


def figures(pairs: Pairs, sample: Sample) -> CalibrationFigures:
    """Return the calibration of some pairs."""
    count = len(pairs.places)
    if not count:
        return CalibrationFigures(pairs=0, queries=0)
    error = ExpectedError(pairs.relevance, pairs.relevant)
    squared = (pairs.relevance - pairs.relevant) ** 2
    by_query = [
        _sums(pairs.places, values, len(sample))
        for values in (np.ones(count), pairs.relevant.astype(np.float64), squared)
    ]
    resampled = np.array([error(weights) for weights in sample.resamples(pairs.places)])
    return CalibrationFigures(
        pairs=count,
        queries=len(np.unique(pairs.places)),
        mean_relevance=float(pairs.relevance.mean()),
        observed=sample.share(by_query[1], by_query[0]),
        ece=estimate(error(np.ones(count)), resampled),
        ece_by_chance=error.by_chance(),
        brier=sample.quotient(by_query[2], by_query[0]),
        bins=error.bins(),
    )


def _block(pairs: Pairs, sample: Sample) -> CalibrationBlock:
    return CalibrationBlock(
        unjudged_irrelevant=figures(pairs, sample), judged_only=figures(pairs.only(pairs.judged), sample)
    )


def _query_level(asked: Sequence[AskedQuery], pairs: Pairs, sample: Sample) -> CalibrationFigures | None:
    known = [(place, one.query_relevance) for place, one in enumerate(asked) if one.query_relevance is not None]
    if not known:
        return None
    found = _sums(pairs.places, pairs.relevant.astype(np.float64), len(sample)) > 0.0
    places = np.array([place for place, _ in known], dtype=np.intp)
    every = np.ones(len(known), dtype=np.bool_)
    relevance = np.array([value for _, value in known], dtype=np.float64)
    return figures(Pairs(places, relevance, found[places], every, np.ones_like(places)), sample)


def _sums(places: Places, values: Floats, count: int) -> Floats:
    """Return the sum of the values at each of `count` places."""
    return np.asarray(np.bincount(places, weights=values, minlength=count), dtype=np.float64)
