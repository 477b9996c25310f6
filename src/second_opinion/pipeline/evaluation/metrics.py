"""Ranking measures of each query at each stage, by ir-measures."""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from second_opinion.pipeline.evaluation.datasets import Dataset, relevant_documents
from second_opinion.pipeline.evaluation.rankings import Stage, ranking
from second_opinion.pipeline.resampling import Floats
from second_opinion.schemas.errors import ExtraMissing
from second_opinion.schemas.evaluation import AskedQuery

MEASURES: Final = ("ndcg_10", "mrr_10", "recall_10", "recall_100")


@dataclass(frozen=True, slots=True)
class RankingValues:
    """Measures of queries that have a relevant document.

    Attributes:
        queries: Their places among the asked ones, [M].
        values: By stage and measure, each [M].
    """

    queries: tuple[int, ...]
    values: Mapping[Stage, Mapping[str, Floats]]


def measure(dataset: Dataset, asked: Sequence[AskedQuery]) -> RankingValues:
    """Measure every stage's ranking of documents on the queries that have a relevant document.

    Gains of nDCG are the grades as they are. Recall and reciprocal rank count what is relevant by the data set's
    smallest relevant grade. Judged documents that the corpus lacks count in the ideal ranking.

    Raises:
        ExtraMissing: If ir-measures is not installed.
    """
    places = [place for place, one in enumerate(asked) if relevant_documents(dataset, one.query_id)]
    judged = {asked[place].query_id: _grades(dataset, asked[place].query_id) for place in places}
    values = {
        stage: _measure_stage(
            judged, {asked[place].query_id: ranking(asked[place], stage) for place in places}, dataset.relevant_from
        )
        for stage in Stage
    }
    return RankingValues(tuple(places), values)


def require_ir_measures() -> Any:
    """Return the module ir-measures.

    Raises:
        ExtraMissing: If it is not installed.
    """
    try:
        return importlib.import_module("ir_measures")
    except ImportError as problem:
        raise ExtraMissing.of("evaluation", "ir-measures") from problem


def _grades(dataset: Dataset, query: str) -> dict[str, int]:
    return {**dataset.absent.get(query, {}), **dataset.grades[query]}


def _measure_stage(
    judged: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]], relevant_from: int
) -> dict[str, Floats]:
    library = require_ir_measures()
    measures = {
        library.nDCG @ 10: "ndcg_10",
        library.RR(rel=relevant_from) @ 10: "mrr_10",
        library.R(rel=relevant_from) @ 10: "recall_10",
        library.R(rel=relevant_from) @ 100: "recall_100",
    }
    places = {query: place for place, query in enumerate(judged)}
    # A query of which a stage has nothing stays at 0.
    values = {name: np.zeros(len(judged)) for name in MEASURES}
    run = {
        query: {document: -float(place) for place, document in enumerate(documents)}
        for query, documents in rankings.items()
        if documents
    }
    if run:
        for one in library.iter_calc(list(measures), {query: dict(grades) for query, grades in judged.items()}, run):
            values[measures[one.measure]][places[one.query_id]] = 0.0 if math.isnan(one.value) else one.value
    return values
