"""Answers to queries of a small data set, made by hand."""

from collections.abc import Mapping, Sequence

from second_opinion.pipeline.evaluation.datasets import Dataset, Passage, Question
from second_opinion.schemas.candidate import FusionLoss
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.evaluation import AskedCandidate, AskedQuery
from second_opinion.schemas.verdict import Decision, Outcome


def a_dataset(
    grades: Mapping[str, Mapping[str, int]], *, unanswerable: Sequence[str] = (), relevant_from: int = 1
) -> Dataset:
    """Return a data set with the queries that are graded or unanswerable, and the documents that are graded."""
    documents = {document for by_document in grades.values() for document in by_document}
    queries = [*grades, *(one for one in unanswerable if one not in grades)]
    return Dataset(
        name="made",
        passages={one: Passage(one, "", f"Text of {one}.") for one in sorted(documents)},
        questions={one: Question(one, f"Question {one}?", one not in unanswerable, "dev") for one in queries},
        grades={query: dict(by_document) for query, by_document in grades.items()},
        relevant_from=relevant_from,
    )


def asked(
    query: str,
    *candidates: tuple[str, float],
    floor: float = 0.4,
    top_k: int = 10,
    cap: int = 3,
    fused: Sequence[int] | None = None,
    bm25: Sequence[int | None] | None = None,
    lost: Sequence[FusionLoss] = (),
    missing: Sequence[str] = (),
) -> AskedQuery:
    """Return an answer whose candidates, (document, relevance) in final order, are judged as the floor does it."""
    choices = QueryDefaults(floor=floor, top_k=top_k, chunks_per_document=cap)
    decisions = _decisions(candidates, choices)
    made = tuple(
        AskedCandidate(
            document_id=document,
            chunk_id=f"{document}@{rank}",
            rank=rank,
            decision=decision,
            relevance=relevance,
            raw_score=relevance,
            fused_rank=fused[rank - 1] if fused else rank,
            fused_score=1.0 / (60 + rank),
            bm25_rank=bm25[rank - 1] if bm25 else rank,
            knn_rank=None,
        )
        for rank, ((document, relevance), decision) in enumerate(zip(candidates, decisions, strict=True), start=1)
    )
    kept = Decision.KEPT in decisions
    return AskedQuery(
        query_id=query,
        candidates=made,
        lost_in_fusion=tuple(lost),
        missing=tuple(missing),
        outcome=Outcome.ANSWERED if kept else Outcome.REFUSED,
        best_relevance=max((relevance for _, relevance in candidates), default=None),
        choices=choices,
        milliseconds={"rerank": 10.0, "total": 12.0},
        reranker="made@1",
    )


def _decisions(candidates: Sequence[tuple[str, float]], choices: QueryDefaults) -> list[Decision]:
    kept: list[str] = []
    found = []
    for document, relevance in candidates:
        if relevance < choices.floor:
            found.append(Decision.BELOW_FLOOR)
        elif kept.count(document) >= choices.chunks_per_document:
            found.append(Decision.OVER_DOCUMENT_CAP)
        elif len(kept) >= choices.top_k:
            found.append(Decision.OVER_TOP_K)
        else:
            kept.append(document)
            found.append(Decision.KEPT)
    return found
