"""The report: from a data set and its queries as they were answered to the figures of every stage."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from second_opinion.pipeline.evaluation.datasets import Dataset
from second_opinion.pipeline.evaluation.metrics import MEASURES, RankingValues, measure
from second_opinion.pipeline.evaluation.misses import misses
from second_opinion.pipeline.evaluation.rankings import Stage
from second_opinion.pipeline.evaluation.refusals import floor_points, refusal_figures
from second_opinion.pipeline.evaluation.reliability import Pairs, calibration_report, pairs_of
from second_opinion.pipeline.evaluation.sample import Sample
from second_opinion.pipeline.resampling import Floats
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.schemas.evaluation import (
    AskedQuery,
    Corpus,
    Difference,
    EvaluationReport,
    HistogramBin,
    Latency,
    MissClass,
    StageFigures,
)
from second_opinion.schemas.floor_choice import Estimate

POOLED: Final = "pooled"
HISTOGRAM_BINS: Final = 20
_SINGLE: Final = (Stage.BM25, Stage.KNN)


@dataclass(frozen=True, slots=True)
class AskedSet:
    """A data set and the answers to the queries of one of its splits."""

    dataset: Dataset
    split: str
    asked: tuple[AskedQuery, ...]
    collection: str = ""
    corpus: Corpus = field(default_factory=Corpus)


def report(sets: Sequence[AskedSet]) -> EvaluationReport:
    """Return the report of one data set, or of several pooled.

    Pooled, ranking measures are means over the sets of each set's mean; calibration and refusals are taken over all
    queries together.

    Raises:
        ExtraMissing: If ir-measures is not installed.
        InvalidRequest: If there is no answer to say anything of.
    """
    answered = [(number, one) for number, part in enumerate(sets) for one in part.asked if one.error is None]
    if not answered:
        raise InvalidRequest(
            "no query was answered, so there is nothing to report", hint="See why: opinion doctor, opinion status"
        )
    asked = [(sets[number].dataset, one) for number, one in answered]
    sample = Sample([number for number, _ in answered])
    ranked = _ranked(sets)
    pairs = pairs_of(asked)
    alone = sets[0] if len(sets) == 1 else None
    failed = {
        (one.query_id if alone else f"{part.dataset.name}/{one.query_id}"): one.error.message
        for part in sets
        for one in part.asked
        if one.error is not None
    }
    counts = Counter(one.miss for part in sets for one in misses(part.dataset, part.asked))
    differences, single = _differences(ranked, sample)
    last = answered[-1][1]
    return EvaluationReport(
        name=alone.dataset.name if alone else POOLED,
        datasets=tuple(part.dataset.name for part in sets),
        split=alone.split if alone else ", ".join(dict.fromkeys(part.split for part in sets)),
        collection=alone.collection if alone else "",
        corpus=alone.corpus if alone else Corpus(),
        choices=last.choices,
        queries=sum(len(part.asked) for part in sets),
        failed=len(failed),
        failures=failed,
        ranked_queries=sum(len(one.values.queries) for one in ranked),
        stages=_stages(ranked, sample),
        differences=differences,
        best_single=single,
        refusal=refusal_figures(asked, sample),
        calibration=calibration_report([one for _, one in asked], pairs, sample, last.choices.top_k),
        misses={kind: counts[kind] for kind in MissClass},
        floors=floor_points(asked),
        histogram=_histogram(pairs),
        latency=_latency([one for _, one in asked]),
        embedder=last.embedder,
        scorers=tuple(dict.fromkeys(f"{one.reranker} {one.calibration_id or 'uncalibrated'}" for _, one in answered)),
    )


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Measures of one set; its answered queries begin at `first` in the sample."""

    first: int
    values: RankingValues

    @property
    def best_single(self) -> Stage:
        return max(_SINGLE, key=lambda stage: float(self.values.values[stage]["ndcg_10"].mean()))


def _ranked(sets: Sequence[AskedSet]) -> list[_Ranked]:
    found, first = [], 0
    for part in sets:
        answered = [one for one in part.asked if one.error is None]
        values = measure(part.dataset, answered)
        if values.queries:
            found.append(_Ranked(first, values))
        first += len(answered)
    return found


def _stages(ranked: Sequence[_Ranked], sample: Sample) -> tuple[StageFigures, ...]:
    found = []
    for stage in Stage:
        means = {name: _mean([one.values.values[stage][name] for one in ranked], ranked, sample) for name in MEASURES}
        if all(means.values()):
            found.append(StageFigures.model_validate({"stage": stage.value, **means}))
    return tuple(found)


def _differences(ranked: Sequence[_Ranked], sample: Sample) -> tuple[tuple[Difference, ...], str | None]:
    """Return the final order against the fused one and the best single list, and which list that is."""
    if not ranked:
        return (), None
    singles = [one.best_single for one in ranked]
    found = []
    for name, stages in ((Stage.FUSED.value, [Stage.FUSED] * len(ranked)), ("best_single", singles)):
        values = [
            one.values.values[Stage.RERANKED]["ndcg_10"] - one.values.values[stage]["ndcg_10"]
            for one, stage in zip(ranked, stages, strict=True)
        ]
        mean = _mean(values, ranked, sample)
        if mean is not None:
            found.append(Difference(over=name, ndcg_10=mean))
    return tuple(found), ", ".join(dict.fromkeys(one.value for one in singles))


def _mean(values: Sequence[Floats], ranked: Sequence[_Ranked], sample: Sample) -> Estimate | None:
    if not ranked:
        return None
    places = [np.asarray(one.values.queries, dtype=np.intp) + one.first for one in ranked]
    return sample.mean(np.concatenate(values), np.concatenate(places))


def _histogram(pairs: Pairs) -> tuple[HistogramBin, ...]:
    place = np.minimum((pairs.relevance * HISTOGRAM_BINS + 1e-9).astype(np.intp), HISTOGRAM_BINS - 1)
    kinds = (pairs.relevant, pairs.judged & ~pairs.relevant, ~pairs.judged & ~pairs.relevant)
    counts = [np.bincount(place[kind], minlength=HISTOGRAM_BINS) for kind in kinds]
    return tuple(
        HistogramBin(
            low=number / HISTOGRAM_BINS,
            relevant=int(counts[0][number]),
            irrelevant=int(counts[1][number]),
            unjudged=int(counts[2][number]),
        )
        for number in range(HISTOGRAM_BINS)
    )


def _latency(asked: Sequence[AskedQuery]) -> tuple[Latency, ...]:
    by_stage: dict[str, list[float]] = {}
    for one in asked:
        for stage, value in one.milliseconds.items():
            by_stage.setdefault(stage, []).append(value)
    return tuple(
        Latency(stage=stage, p50=float(np.percentile(values, 50)), p95=float(np.percentile(values, 95)))
        for stage, values in by_stage.items()
    )
