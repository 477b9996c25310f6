"""The floor: which of the scored candidates are shown, or the refusal to show any.

The order of the rules is part of the contract:

1. Candidates are ordered by `raw_score`, ties by `fused_rank`.
2. The floor: `relevance >= floor`, on relevance alone. 0.0 lets everything through, 1.0 only a relevance of 1.0. Where
   the calibration knows the query's relevance, the chance that any candidate answers it, that has to reach the floor as
   well; a query that does not is refused whole.
3. The document cap counts only what cleared the floor, so that a weak chunk takes no place of its document.
4. `top_k` counts only what is within the cap, so that a crowding document takes no place of another.

No choice reaches around the floor. It fails closed: a relevance that is missing, not a number or out of range is an
error.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from second_opinion.schemas.candidate import ScoredCandidate
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import InvalidQuery, RelevanceMissing
from second_opinion.schemas.verdict import Decision, JudgedCandidate, Outcome, RefusalReason, Verdict


def judge(
    scored: Sequence[ScoredCandidate],
    choices: QueryDefaults,
    query_relevance: float | None = None,
    *,
    unscored: int = 0,
    unreadable: int = 0,
) -> Verdict:
    """Return the verdict over all candidates, each with its decision, in final order.

    Args:
        scored: The candidates, in any order.
        choices: The floor and the caps.
        query_relevance: The chance that any of them answers the query; None where nothing is known of it.
        unscored: How many more candidates nobody has read; the sentence says so.
        unreadable: How many of those the reranker failed on; for the others there was no time.

    Raises:
        RelevanceMissing: If a candidate has no usable relevance or raw score, or the query's relevance is not usable.
        InvalidQuery: If the floor is no number in [0, 1].
    """
    if not 0.0 <= choices.floor <= 1.0:
        raise InvalidQuery(f"a floor of {choices.floor} is outside [0, 1]", hint="Choose a floor from 0.0 to 1.0.")
    for candidate in scored:
        _require_judgeable(candidate)
    if query_relevance is not None and not _is_share(query_relevance):
        raise RelevanceMissing(f"the query has a relevance of {query_relevance}, which no floor can be applied to")
    ordered = sorted(scored, key=lambda candidate: (-candidate.raw_score, candidate.fused.fused_rank))
    documents = [(one.fused.candidate.chunk.key, one.relevance) for one in ordered]
    decisions = decide(documents, choices, query_relevance)
    judged = tuple(
        JudgedCandidate(scored=candidate, rank=rank, decision=decision)
        for rank, (candidate, decision) in enumerate(zip(ordered, decisions, strict=True), start=1)
    )
    best = max((candidate.relevance for candidate in scored), default=None)
    kept = sum(one.decision is Decision.KEPT for one in judged)
    reason = None if kept else _reason(best, choices.floor)
    sentence = (
        _sentence(kept, len(judged), choices.floor, best)
        if reason is not RefusalReason.QUERY_BELOW_FLOOR
        else _query_sentence(len(judged), choices.floor, best, query_relevance)
    )
    return Verdict(
        outcome=Outcome.ANSWERED if kept else Outcome.REFUSED,
        reason=reason,
        sentence=sentence + _left_unread(len(judged), unscored - unreadable, unreadable),
        floor=choices.floor,
        best_relevance=best,
        query_relevance=query_relevance,
        judged=judged,
    )


def decide(
    ordered: Iterable[tuple[str, float]], choices: QueryDefaults, query_relevance: float | None = None
) -> list[Decision]:
    """Return the decision on each (document, relevance) of candidates in their final order: rules 2 to 4."""
    query_is_below = query_relevance is not None and not query_relevance >= choices.floor
    decisions: list[Decision] = []
    kept_of_document: Counter[str] = Counter()
    for document, relevance in ordered:
        if not relevance >= choices.floor:
            decisions.append(Decision.BELOW_FLOOR)
        elif query_is_below:
            decisions.append(Decision.QUERY_BELOW_FLOOR)
        elif kept_of_document[document] >= choices.chunks_per_document:
            decisions.append(Decision.OVER_DOCUMENT_CAP)
        elif kept_of_document.total() >= choices.top_k:
            decisions.append(Decision.OVER_TOP_K)
        else:
            kept_of_document[document] += 1
            decisions.append(Decision.KEPT)
    return decisions


def _require_judgeable(candidate: ScoredCandidate) -> None:
    chunk = candidate.fused.candidate.chunk.chunk_id
    if not _is_number(candidate.raw_score):
        raise RelevanceMissing(f"chunk {chunk} has a raw score of {candidate.raw_score}, which cannot be ordered")
    if not _is_share(candidate.relevance):
        raise RelevanceMissing(
            f"chunk {chunk} has a relevance of {candidate.relevance}, which no floor can be applied to"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)


def _is_share(value: object) -> bool:
    return isinstance(value, float | int) and 0.0 <= value <= 1.0


def _reason(best: float | None, floor: float) -> RefusalReason:
    """Return why nothing is shown; where neither a candidate nor the query reaches the floor, the candidates say it."""
    if best is None:
        return RefusalReason.NO_CANDIDATES
    return RefusalReason.QUERY_BELOW_FLOOR if best >= floor else RefusalReason.BELOW_FLOOR


def _sentence(kept: int, judged: int, floor: float, best: float | None) -> str:
    if best is None:
        return "Nothing was found that could be judged."
    shown_floor, shown_best = _distinct(floor, best)
    if not kept:
        return f"Nothing cleared {shown_floor}; best was {shown_best}."
    noun, verb = "passage" if judged == 1 else "passages", "is" if kept == 1 else "are"
    return f"{kept} of {judged} {noun} {verb} shown; best was {shown_best}, floor {shown_floor}."


def _query_sentence(judged: int, floor: float, best: float | None, query_relevance: float | None) -> str:
    if best is None or query_relevance is None:
        return "Nothing was found that could be judged."
    shown_floor, shown_query = _distinct(floor, query_relevance)
    _, shown_best = _distinct(floor, best)
    return (
        f"The best passage has {shown_best}, but as the best of {judged} the chance that any of them answers is "
        f"{shown_query}, below {shown_floor}."
    )


def _left_unread(judged: int, late: int, unreadable: int) -> str:
    whole = judged + late + unreadable
    said = f" Only {judged} of {whole} candidates were read before the deadline." if late else ""
    return said + (f" The reranker could not read {unreadable} of {whole} candidates." if unreadable else "")


def _distinct(floor: float, best: float) -> tuple[str, str]:
    """Write both with two decimals, or with as many as it takes to tell them apart."""
    for decimals in range(2, 17):
        texts = f"{floor:.{decimals}f}", f"{best:.{decimals}f}"
        if texts[0] != texts[1] or floor == best:
            return texts
    return str(floor), str(best)
