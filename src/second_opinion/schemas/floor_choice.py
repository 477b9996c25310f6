"""What past queries say of a floor: reports, replays and suggestions. All shares lie in [0, 1]."""

from enum import StrEnum

from second_opinion.schemas.base import Record
from second_opinion.schemas.trace import ReplayedQuery, ScorerTraces, TraceSpread


class Estimate(Record):
    """A measured share with its 95 % interval."""

    value: float
    low: float
    high: float


class FloorRow(Record):
    """What one floor would have done with past queries.

    Attributes:
        answered: Share of queries it answers; the others are refused.
        kept_per_query: Passages it shows for a query, on average over all queries.
        trimmed: Share of candidates it does not show, the caps included.
        precision: Share of relevant ones among the judged passages it shows; None where it shows no judged one.
        recall: Share it shows among the passages that are judged relevant.
        f1: Harmonic mean of both.
        wrongly_refused: Share of judged queries that it refuses although a candidate is judged relevant.
    """

    floor: float
    answered: float
    kept_per_query: float
    trimmed: float
    precision: Estimate | None = None
    recall: Estimate | None = None
    f1: Estimate | None = None
    wrongly_refused: Estimate | None = None


class FloorReport(Record):
    """Past queries of one scorer, and what floors would have done with them.

    Attributes:
        scorer: Reranker and calibration of these traces; None when there are no traces.
        others: Scorers whose traces are left out, because their relevances mean something else.
        floor: The floor in force now.
        judged_pairs: Judgements that belong to these traces; `judged_queries` is how many queries they are about.
        separation: Chance that a relevant pair has a higher relevance than an irrelevant one (AUROC).
        judgements_for_3_points: How many judged pairs would narrow precision at the floor in force to about
            plus or minus 0.03; None where it is as narrow, or unknown.
    """

    collection: str | None
    scorer: str | None
    others: tuple[ScorerTraces, ...] = ()
    floor: float
    spread: TraceSpread
    rows: tuple[FloorRow, ...]
    judged_pairs: int
    judged_queries: int
    separation: Estimate | None = None
    judgements_for_3_points: int | None = None


class FloorReplay(Record):
    """What past queries would have answered at another floor.

    Attributes:
        newly_refused: How many were answered and would be refused; `refused_examples` are the newest of them.
        newly_answered: How many were refused and would be answered; likewise `answered_examples`.
    """

    collection: str | None
    scorer: str | None
    floor: float
    traces: int
    answered: int
    answered_then: int
    kept: int
    kept_then: int
    newly_refused: int
    newly_answered: int
    refused_examples: tuple[ReplayedQuery, ...] = ()
    answered_examples: tuple[ReplayedQuery, ...] = ()


class FloorGoal(StrEnum):
    """What a floor is chosen for."""

    PRECISION = "precision"
    RECALL = "recall"
    REFUSAL_F1 = "refusal_f1"


class FloorFinding(StrEnum):
    """How the search for a floor ended."""

    FOUND = "found"
    NO_SEPARATION = "no_separation"
    OUT_OF_REACH = "out_of_reach"


class FloorSuggestion(Record):
    """A floor for a goal, or the honest answer that there is none.

    Attributes:
        target: What was asked for; None for the best that can be had.
        floor: The suggested floor; None when there is none.
        floor_low: With `floor_high`, the floors that 95 % of resamples of the judged queries lead to.
        measured: The goal's measure at that floor; where none was found, the best that any floor reaches.
        measured_at: The floor at which it was measured.
        certain: True when the whole interval of `measured` meets the target.
        separation: AUROC of what had to be told apart.
    """

    goal: FloorGoal
    target: float | None
    finding: FloorFinding
    floor: float | None = None
    floor_low: float | None = None
    floor_high: float | None = None
    measured: Estimate | None = None
    measured_at: float | None = None
    certain: bool = False
    separation: Estimate
    judged_pairs: int
    judged_queries: int
    scorer: str | None = None
    collection: str | None = None
