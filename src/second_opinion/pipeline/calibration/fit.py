"""Fitting calibrations: Platt's curve and isotonic regression on raw scores in float64, chosen by cross-validation.

Two curves are fitted on the same folds: one from a pair's raw score to the chance that the passage answers the query,
and one from the best raw score of a query's candidates to the chance that any of them does.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from second_opinion.pipeline.calibration.artefact import named
from second_opinion.pipeline.calibration.folds import document_groups, grouped_folds
from second_opinion.pipeline.calibration.judged_scores import JudgedScores
from second_opinion.pipeline.calibration.quality import Quality, log_loss, quality
from second_opinion.pipeline.enough_judgements import require_both_kinds, require_pairs
from second_opinion.pipeline.resampling import Booleans, Floats
from second_opinion.schemas.calibration import (
    CalibrationArtefact,
    CalibrationKey,
    Canary,
    FitReport,
    IsotonicCurve,
    PlattCurve,
)
from second_opinion.schemas.errors import CalibrationRefused, ExtraMissing, NotEnoughJudgements, RelevanceMissing

LEAST_QUERIES: Final = 50
_JUDGE_HINT: Final = "Judge more candidates, good and bad ones: opinion judge JOB CHUNK relevant (or irrelevant)"

AnyCurve = PlattCurve | IsotonicCurve
Fitter = Callable[[Floats, Booleans], AnyCurve]


@dataclass(frozen=True, slots=True)
class CurveFit:
    """A curve and what speaks for it.

    Attributes:
        log_losses: Cross-validated log loss of each method, in nats.
        held_out: The chosen method's relevance of each sample, by curves that were fitted without its fold [N].
    """

    curve: AnyCurve
    log_losses: dict[str, float]
    held_out: Floats


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """Both curves of a calibration.

    Attributes:
        query_level: None when it cannot be had; `report.query_level` says why.
        quality: How the pair curve does on queries that it was not fitted on.
    """

    pair: CurveFit
    query_level: CurveFit | None
    quality: Quality
    report: FitReport

    def artefact(self, key: CalibrationKey, canaries: Sequence[Canary], command: str) -> CalibrationArtefact:
        """Return it under its id, with the reranker it belongs to, its canaries and the command that fitted it."""
        return named(
            CalibrationArtefact(
                id="unnamed",
                key=key,
                curve=self.pair.curve,
                query_level=self.query_level.curve if self.query_level is not None else None,
                fitted_on=self.report.model_copy(update={"command": command}),
                canaries=tuple(canaries),
            )
        )


def require_scikit_learn() -> None:
    """Find out early whether calibrations can be fitted.

    Raises:
        ExtraMissing: If scikit-learn is not installed.
    """
    try:
        import sklearn  # noqa: F401, PLC0415 - an extra
    except ImportError as problem:
        raise ExtraMissing.of("evaluation", "scikit-learn") from problem


def fit_calibration(queries: Sequence[JudgedScores]) -> CalibrationFit:
    """Return both curves, each by the method with the lower cross-validated log loss.

    Raises:
        NotEnoughJudgements: If fewer than 50 pairs are judged, all are judged alike, or all hang on one document.
        CalibrationRefused: If a higher score does not mean more relevant.
        RelevanceMissing: If a score is not finite.
        ExtraMissing: If scikit-learn is not installed.
    """
    require_scikit_learn()
    judged = [query for query in queries if len(query.raw)]
    _require_finite(queries)
    raw, relevant = _flat(judged)
    require_pairs(len(raw), f"{len(raw)} pairs are judged, {int(relevant.sum())} of them relevant")
    require_both_kinds(relevant)
    folds = _folds(queries)
    of_judged = np.array([fold for query, fold in zip(queries, folds, strict=True) if len(query.raw)])
    sizes = [len(query.raw) for query in judged]
    pair = fit_curve(raw, relevant, np.repeat(of_judged, sizes))
    query_level, why_not = _query_level(queries, folds)
    ends = np.cumsum(sizes)[:-1]
    known = [query for query in queries if query.answerable is not None and query.best_raw is not None]
    return CalibrationFit(
        pair=pair,
        query_level=query_level,
        quality=quality(np.split(pair.held_out, ends), [query.relevant for query in judged]),
        report=FitReport(
            pairs=len(raw),
            relevant_pairs=int(relevant.sum()),
            queries=len(queries),
            slices=_slices(queries),
            log_loss=pair.log_losses[pair.curve.method],
            log_losses=pair.log_losses,
            query_log_losses=query_level.log_losses if query_level is not None else {},
            queries_with_answer=sum(query.answerable is True for query in known),
            query_level=why_not,
        ),
    )


def fit_curve(raw: Floats, relevant: Booleans, folds: NDArray[np.int64]) -> CurveFit:
    """Return the curve of the method whose cross-validated log loss is lower; on a draw, Platt's.

    Args:
        raw: Raw scores [N].
        relevant: Labels [N].
        folds: Fold of each sample [N].

    Raises:
        CalibrationRefused: If a higher score does not mean more relevant.
        NotEnoughJudgements: If outside of some fold there is one class only.
    """
    curves = {"platt": fit_platt(raw, relevant)}
    held_out = {name: _cross_validated(fitter, raw, relevant, folds) for name, fitter in METHODS.items()}
    losses = {name: log_loss(values, relevant) for name, values in held_out.items()}
    chosen = min(losses, key=lambda name: losses[name])
    curve: AnyCurve = curves["platt"] if chosen == "platt" else fit_isotonic(raw, relevant)
    return CurveFit(curve, {name: round(loss, 6) for name, loss in losses.items()}, held_out[chosen])


def fit_platt(raw: Floats, relevant: Booleans) -> PlattCurve:
    """Return the logistic curve under which Platt's targets are likeliest.

    The targets stay off 0 and 1, so that scores which separate without error have a finite curve. Each pair enters with
    both labels, weighted by its target.

    Raises:
        CalibrationRefused: If the slope is not positive.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - an extra

    positives, negatives = int(relevant.sum()), int((~relevant).sum())
    target = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # Steps of Newton's method want scores of about one size; the curve is turned back to raw scores below.
    middle, spread = float(raw.mean()), float(raw.std()) or 1.0
    inputs = np.concatenate([raw, raw])[:, None].astype(np.float64)
    labels = np.concatenate([np.ones(len(raw), int), np.zeros(len(raw), int)])
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=200)
    with warnings.catch_warnings():
        # A curve as steep as a step takes more iterations than it is worth; its log loss judges it like any other.
        warnings.simplefilter("ignore")
        model.fit((inputs - middle) / spread, labels, sample_weight=np.concatenate([target, 1.0 - target]))
    slope = float(model.coef_[0, 0]) / spread
    if not slope > 0.0:
        raise CalibrationRefused(
            f"the fitted slope is {slope:.3f} over {len(raw)} pairs: a higher score does not mean more relevant",
            hint="Look for judgements that were swapped, or use another reranker; no calibration mends its order.",
        )
    return PlattCurve(slope=slope, intercept=float(model.intercept_[0]) - slope * middle)


def fit_isotonic(raw: Floats, relevant: Booleans) -> IsotonicCurve:
    """Return the rising curve under which the labels are likeliest.

    Raises:
        CalibrationRefused: If no curve that rises fits better than a level one.
    """
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - an extra

    model: Any = IsotonicRegression(y_min=0.0, y_max=1.0, increasing=True, out_of_bounds="clip")
    model.fit(raw.astype(np.float64), relevant.astype(np.float64))
    points = [(float(x), float(y)) for x, y in zip(model.X_thresholds_, model.y_thresholds_, strict=True)]
    if points[0][1] == points[-1][1]:
        raise CalibrationRefused(
            f"no rising curve fits {len(raw)} pairs: a higher score does not mean more relevant",
            hint="Look for judgements that were swapped, or use another reranker; no calibration mends its order.",
        )
    return IsotonicCurve(breakpoints=tuple(points))


METHODS: Final[dict[str, Fitter]] = {"platt": fit_platt, "isotonic": fit_isotonic}


def _cross_validated(fitter: Fitter, raw: Floats, relevant: Booleans, folds: NDArray[np.int64]) -> Floats:
    """Return the relevance of each sample by a curve that was fitted without its fold."""
    held_out = np.empty(len(raw))
    for fold in np.unique(folds):
        inside = folds == fold
        seen = relevant[~inside]
        if seen.all() or not seen.any():
            raise NotEnoughJudgements(
                f"{int(relevant.sum())} of {len(raw)} judged are relevant, but too few questions have them to check a "
                "calibration on others",
                hint=_JUDGE_HINT,
            )
        curve = fitter(raw[~inside], seen)
        held_out[inside] = [curve.relevance(value) for value in raw[inside]]
    return held_out


def _query_level(queries: Sequence[JudgedScores], folds: NDArray[np.int64]) -> tuple[CurveFit | None, str]:
    """Return the curve for the best score of a query, or why there is none."""
    known = [
        (query.best_raw, query.answerable, fold)
        for query, fold in zip(queries, folds, strict=True)
        if query.best_raw is not None and query.answerable is not None
    ]
    answerable = sum(one[1] for one in known)
    counts = f"{len(known)} queries, {answerable} of them with an answer"
    if len(known) < LEAST_QUERIES:
        return None, f"{counts}: {LEAST_QUERIES} are needed"
    if answerable in {0, len(known)}:
        return None, f"{counts}: both kinds are needed"
    best, labels, of_query = (np.array(column) for column in zip(*known, strict=True))
    try:
        return fit_curve(best.astype(np.float64), labels.astype(bool), of_query), ""
    except (CalibrationRefused, NotEnoughJudgements) as problem:
        return None, f"{counts}: {problem.message}"


def _folds(queries: Sequence[JudgedScores]) -> NDArray[np.int64]:
    has_relevant = [bool(query.relevant.any()) for query in queries]
    return grouped_folds(has_relevant, document_groups([query.documents for query in queries]))


def _flat(queries: Sequence[JudgedScores]) -> tuple[Floats, Booleans]:
    if not queries:
        return np.empty(0), np.empty(0, dtype=np.bool_)
    return np.concatenate([one.raw for one in queries]), np.concatenate([one.relevant for one in queries])


def _require_finite(queries: Sequence[JudgedScores]) -> None:
    bad = sum(int((~np.isfinite(query.raw)).sum()) for query in queries)
    bad += sum(query.best_raw is not None and not np.isfinite(query.best_raw) for query in queries)
    if bad:
        raise RelevanceMissing(
            f"{bad} raw scores are not numbers, so nothing can be fitted on them",
            hint="Ask these queries again; if it stays so, the reranker is broken: opinion doctor",
        )


def _slices(queries: Sequence[JudgedScores]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for query in queries:
        if query.source:
            counts[query.source] = counts.get(query.source, 0) + 1
    return counts
