"""Where a miss happened: the last stage that a query's best-placed relevant document reached."""

from collections.abc import Sequence

from second_opinion.pipeline.evaluation.datasets import Dataset, relevant_documents
from second_opinion.pipeline.tracing import showable
from second_opinion.schemas.evaluation import AskedCandidate, AskedQuery, MissClass, MissedQuery
from second_opinion.schemas.verdict import Decision


def classify(asked: AskedQuery, relevant: frozenset[str]) -> MissClass:
    """Return where a query lost its relevant documents; it is a hit when any of them is shown.

    A candidate that a floor of 0.0 would show was kept back by the floor; one that it would not, by the caps. A chunk
    over the cap of its document has better chunks of the same document before it, so it is never the best-placed.

    Args:
        asked: A query that was answered or refused.
        relevant: Its relevant documents, at least one.
    """
    candidates = sorted(asked.candidates, key=lambda one: one.rank)
    mine = [one for one in candidates if one.document_id in relevant]
    if any(one.decision is Decision.KEPT for one in mine):
        return MissClass.HIT
    if mine:
        shown = showable([(one.document_id, one.relevance) for one in candidates], asked.choices)
        within = any(is_shown for one, is_shown in zip(candidates, shown, strict=True) if one.document_id in relevant)
        return MissClass.FLOOR_MISS if within else MissClass.RANKING_MISS
    if any(one.document_id in relevant for one in asked.lost_in_fusion):
        return MissClass.FUSION_MISS
    return MissClass.NOT_INDEXED if relevant <= set(asked.missing) else MissClass.RECALL_MISS


def misses(dataset: Dataset, asked: Sequence[AskedQuery]) -> list[MissedQuery]:
    """Return the class of every answered query that has a relevant document and is not known to have no answer."""
    found = []
    for one in asked:
        relevant = relevant_documents(dataset, one.query_id)
        question = dataset.questions[one.query_id]
        if one.error is None and relevant and question.answerable is not False:
            best = _best(one, relevant)
            found.append(
                MissedQuery(
                    query_id=one.query_id,
                    text=question.text,
                    miss=classify(one, relevant),
                    best_rank=best.rank if best else None,
                    best_relevance=best.relevance if best else None,
                    job_id=one.job_id,
                )
            )
    return found


def _best(asked: AskedQuery, relevant: frozenset[str]) -> AskedCandidate | None:
    mine = [one for one in asked.candidates if one.document_id in relevant]
    return min(mine, key=lambda one: one.rank, default=None)
