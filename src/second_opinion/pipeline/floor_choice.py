"""Choosing a floor from evidence: judgements joined with traces, measures at each floor, suggestions with intervals.

Judged pairs of one query are alike, so queries are resampled, not pairs. A bootstrap of a share that is 0 or 1
everywhere is blind to chance; there Wilson's interval is wider, and the wider of the two is told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from second_opinion.pipeline.enough_judgements import require_both_kinds, require_pairs
from second_opinion.pipeline.resampling import Auroc, Booleans, Floats, Places, draws, estimate, ratio, widened
from second_opinion.pipeline.tracing import showable
from second_opinion.schemas.errors import NotEnoughJudgements
from second_opinion.schemas.floor_choice import Estimate, FloorFinding, FloorGoal, FloorSuggestion
from second_opinion.schemas.trace import Judgement, Trace

MIN_SHOWN: Final = 10
RESAMPLES_AT_ONCE: Final = 100
CHANCE: Final = 0.5
GRID: Final = tuple(step / 100 for step in range(101))
_TAILS: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A judged candidate of a trace. One that is not `showable` is kept back by the caps at every floor.

    Attributes:
        relevance: What decides: the candidate's, or its query's where that is lower.
    """

    relevance: float
    relevant: bool
    showable: bool


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """The judged candidates of one question's newest trace.

    Attributes:
        best_relevance: Highest relevance of all its candidates, or the query's where that is lower: a higher floor
            refuses it.
        answerable: True when a candidate is judged relevant; False when its best one is judged and nothing judged is
            relevant; None when too little is judged to tell.
    """

    pairs: tuple[JudgedPair, ...]
    best_relevance: float
    answerable: bool | None


def join(judgements: Iterable[Judgement], traces: Mapping[str, Trace]) -> list[JudgedQuery]:
    """Return the judged candidates of traces, given by the hash of their question.

    A judgement finds its passage by document and text, so it outlives a new ingest, another model and another
    calibration. One whose passage is no candidate of the trace is left out.
    """
    by_question: dict[tuple[str, str], dict[tuple[str, str], bool]] = {}
    for one in judgements:
        passages = by_question.setdefault((one.collection, one.query_hash), {})
        passages[one.document_id, one.text_hash] = one.relevant
    found = []
    for (collection, question), passages in by_question.items():
        trace = traces.get(question)
        if trace is not None and trace.collection == collection:
            query = _judged_query(trace, passages)
            if query is not None:
                found.append(query)
    return found


def _judged_query(trace: Trace, passages: Mapping[tuple[str, str], bool]) -> JudgedQuery | None:
    shown = showable([(one.document_id, one.relevance) for one in trace.candidates], trace.choices)
    pairs, best_is_judged = [], False
    for candidate, is_shown in zip(trace.candidates, shown, strict=True):
        relevant = passages.get((candidate.document_id, candidate.text_hash))
        if relevant is not None:
            pairs.append(JudgedPair(trace.deciding(candidate.relevance), relevant, is_shown))
            best_is_judged = best_is_judged or candidate.rank == 1
    if not pairs or trace.best_relevance is None:
        return None
    has_relevant = any(pair.relevant for pair in pairs)
    answerable = True if has_relevant else False if best_is_judged else None
    return JudgedQuery(tuple(pairs), trace.best_relevance, answerable)


def count_pairs(queries: Sequence[JudgedQuery]) -> int:
    """Return how many candidates are judged."""
    return sum(len(query.pairs) for query in queries)


def require_enough(queries: Sequence[JudgedQuery]) -> None:
    """Refuse to draw conclusions from next to nothing.

    Raises:
        NotEnoughJudgements: If there are fewer than 50 judged pairs, or all are judged alike.
    """
    relevant = [pair.relevant for query in queries for pair in query.pairs]
    require_pairs(len(relevant), f"{len(relevant)} judged pairs belong to these traces")
    require_both_kinds(relevant)


class Measures:
    """Measures of judged queries at some floors, with intervals.

    Args:
        queries: At least one.
        floors: In any order.
    """

    def __init__(self, queries: Sequence[JudgedQuery], floors: Sequence[float]) -> None:
        self.floors: Final = np.asarray(floors, dtype=np.float64)
        self._queries = queries
        shape = (len(queries), len(floors))
        self._shown, self._hits, self._refused = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for row, query in enumerate(queries):
            self._refused[row] = query.best_relevance < self.floors
            for pair in query.pairs:
                reached = (pair.relevance >= self.floors) & pair.showable
                self._shown[row] += reached
                self._hits[row] += reached & pair.relevant
        self._relevant = np.array([[sum(pair.relevant for pair in query.pairs)] for query in queries], dtype=np.float64)
        self._resamples = draws(len(queries))

    @property
    def shown(self) -> Floats:
        """How many judged pairs each floor shows."""
        total: Floats = self._shown.sum(axis=0)
        return total

    def precision(self) -> list[Estimate | None]:
        """Return the share of relevant ones among the judged passages that each floor shows."""
        return self._shares(self._hits, self._shown)

    def recall(self) -> list[Estimate | None]:
        """Return the share that each floor shows of the passages judged relevant."""
        return self._shares(self._hits, self._relevant)

    def f1(self) -> list[Estimate | None]:
        """Return the harmonic mean of precision and recall at each floor."""
        return self._estimates(2.0 * self._hits, self._shown + self._relevant)

    def wrongly_refused(self) -> list[Estimate | None]:
        """Return the share of judged queries that each floor refuses though a candidate is judged relevant."""
        return self._shares(self._refused * (self._relevant > 0.0), np.ones_like(self._relevant))

    def refusal_f1(self) -> list[Estimate | None]:
        """Return the F1 of refusing what is judged to have no answer, over queries of which that is known."""
        return self._estimates(*self._refusal_parts())

    def suggest(self, goal: FloorGoal, target: float) -> tuple[int | None, Floats]:
        """Return the place of the floor for a goal, and the floors that resamples lead to (without those with none)."""
        over, under = self._refusal_parts() if goal is FloorGoal.REFUSAL_F1 else (self._hits, self._below(goal))
        enough = self._shown.sum(axis=0) >= MIN_SHOWN
        choose = _CHOICES[goal]
        place = choose(ratio(over.sum(axis=0, keepdims=True), under.sum(axis=0, keepdims=True)), enough, target)[0]
        places = choose(ratio(self._resamples @ over, self._resamples @ under), enough, target)
        return (int(place) if place >= 0 else None), self.floors[places[places >= 0]]

    def _below(self, goal: FloorGoal) -> Floats:
        return self._shown if goal is FloorGoal.PRECISION else np.broadcast_to(self._relevant, self._shown.shape)

    def _refusal_parts(self) -> tuple[Floats, Floats]:
        known = np.array([[query.answerable is not None] for query in self._queries], dtype=np.float64)
        without = np.array([[query.answerable is False] for query in self._queries], dtype=np.float64)
        return 2.0 * self._refused * without, (self._refused + without) * known

    def _shares(self, over: Floats, under: Floats) -> list[Estimate | None]:
        estimates = self._estimates(over, under)
        counts = np.broadcast_to(under, over.shape).sum(axis=0)
        return [
            one if one is None else widened(one, float(count)) for one, count in zip(estimates, counts, strict=True)
        ]

    def _estimates(self, over: Floats, under: Floats) -> list[Estimate | None]:
        under = np.broadcast_to(under, over.shape)
        values = ratio(over.sum(axis=0, keepdims=True), under.sum(axis=0, keepdims=True))[0]
        resampled = ratio(self._resamples @ over, self._resamples @ under)
        return [estimate(value, column) for value, column in zip(values, resampled.T, strict=True)]


def separation(queries: Sequence[JudgedQuery], goal: FloorGoal = FloorGoal.PRECISION) -> Estimate | None:
    """Return the AUROC of relevance over judged pairs; for refusals, of best relevance over judged queries.

    None when there is only one class.
    """
    if goal is FloorGoal.REFUSAL_F1:
        known = [(row, query) for row, query in enumerate(queries) if query.answerable is not None]
        rows = [row for row, _ in known]
        values = [query.best_relevance for _, query in known]
        classes = [bool(query.answerable) for _, query in known]
    else:
        flat = [(row, pair) for row, query in enumerate(queries) for pair in query.pairs]
        rows = [row for row, _ in flat]
        values = [pair.relevance for _, pair in flat]
        classes = [pair.relevant for _, pair in flat]
    if len(set(classes)) < 2:  # noqa: PLR2004 - both classes
        return None
    auroc = Auroc(np.asarray(values), np.asarray(classes))
    resamples = draws(len(queries))
    blocks = range(0, len(resamples), RESAMPLES_AT_ONCE)
    resampled = np.concatenate([auroc(resamples[start : start + RESAMPLES_AT_ONCE][:, rows]) for start in blocks])
    return estimate(auroc(np.ones((1, len(rows))))[0], resampled)


def suggest(queries: Sequence[JudgedQuery], goal: FloorGoal, target: float | None = None) -> FloorSuggestion:
    """Return a floor for a goal: the lowest with that precision, the highest with that recall, or the best refusals.

    Args:
        queries: The evidence.
        goal: What the floor is for.
        target: The precision or recall to reach; left out for refusals.

    Raises:
        NotEnoughJudgements: If the evidence is too thin, or all of one kind.
    """
    require_enough(queries)
    separated = separation(queries, goal)
    if separated is None:
        raise NotEnoughJudgements(
            "a floor for refusals needs questions with an answer and questions without one among those judged",
            hint="Judge the best candidate of refused and of answered queries: opinion judge JOB 1 irrelevant",
        )
    measures = Measures(queries, GRID)
    estimates = {
        FloorGoal.PRECISION: measures.precision,
        FloorGoal.RECALL: measures.recall,
        FloorGoal.REFUSAL_F1: measures.refusal_f1,
    }[goal]()
    place, resampled = measures.suggest(goal, 0.0 if target is None else target)
    known = FloorSuggestion(
        goal=goal,
        target=target,
        finding=FloorFinding.FOUND,
        separation=separated,
        judged_pairs=count_pairs(queries),
        judged_queries=len(queries),
    )
    if separated.low <= CHANCE:
        return known.model_copy(update={"finding": FloorFinding.NO_SEPARATION})
    if place is None:
        best = _best(estimates, measures.shown)
        reached = {"measured": estimates[best], "measured_at": GRID[best]} if best is not None else {}
        return known.model_copy(update={"finding": FloorFinding.OUT_OF_REACH, **reached})
    measured = estimates[place]
    low, high = np.percentile(resampled, _TAILS, method="nearest") if len(resampled) else (GRID[place], GRID[place])
    return known.model_copy(
        update={
            "floor": GRID[place],
            "floor_low": float(min(low, GRID[place])),
            "floor_high": float(max(high, GRID[place])),
            "measured": measured,
            "measured_at": GRID[place],
            "certain": target is not None and measured is not None and measured.low >= target,
        }
    )


def _lowest(values: Floats, enough: Booleans, target: float) -> Places:
    """Return for each row the place of the first floor that reaches the target, or -1."""
    reached = (values >= target) & enough
    return np.where(reached.any(axis=1), reached.argmax(axis=1), -1)


def _highest(values: Floats, _enough: Booleans, target: float) -> Places:
    """Return for each row the place of the last floor that reaches the target, or -1."""
    reached = values >= target
    last = values.shape[1] - 1 - reached[:, ::-1].argmax(axis=1)
    return np.where(reached.any(axis=1), last, -1)


def _middle_of_best(values: Floats, _enough: Booleans, _target: float) -> Places:
    """Return for each row the middle of the first run of floors with the highest value, or -1: far from either edge."""
    filled = np.nan_to_num(values, nan=-1.0)
    best = filled.max(axis=1, keepdims=True)
    is_best = filled >= best - 1e-12
    first = is_best.argmax(axis=1)
    goes_on = np.logical_or(is_best, np.arange(values.shape[1]) < first[:, None])
    length = np.where(goes_on.all(axis=1), values.shape[1], (~goes_on).argmax(axis=1)) - first
    return np.where(best[:, 0] >= 0.0, first + (length - 1) // 2, -1)


_CHOICES: Final[dict[FloorGoal, Callable[[Floats, Booleans, float], Places]]] = {
    FloorGoal.PRECISION: _lowest,
    FloorGoal.RECALL: _highest,
    FloorGoal.REFUSAL_F1: _middle_of_best,
}


def _best(estimates: Sequence[Estimate | None], shown: Floats) -> int | None:
    known = [
        (one.value, -place) for place, one in enumerate(estimates) if one is not None and shown[place] >= MIN_SHOWN
    ]
    return -max(known)[1] if known else None
