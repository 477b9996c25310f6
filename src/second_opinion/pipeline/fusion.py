"""Fusion: one order out of two lists, by weighted reciprocal rank fusion.

    fused_score = bm25_weight / (60 + bm25_rank) + knn_weight / (60 + knn_rank)

Only ranks count, because BM25 scores and similarities live on scales that cannot be compared. For the same reason a
fused score says nothing about relevance, and never meets the floor.
"""

from collections.abc import Sequence
from typing import Final

from second_opinion.schemas.candidate import Candidate, FusedCandidate, Fusion, FusionLoss
from second_opinion.schemas.collection import QueryDefaults

RRF_K: Final = 60


def fuse(candidates: Sequence[Candidate], choices: QueryDefaults) -> Fusion:
    """Return the best `choices.candidates` of both lists in fused order, and the documents left behind.

    A list with weight 0 does not exist: a chunk that only it holds is no candidate. Ties go to the better single rank,
    then to the smaller chunk id, so that the order is always the same.
    """
    scored = [(_fused_score(candidate, choices), candidate) for candidate in candidates]
    scored = [(score, candidate) for score, candidate in scored if score > 0.0]
    scored.sort(key=lambda pair: (-pair[0], _best_rank(pair[1], choices), pair[1].chunk.chunk_id))
    fused = [
        FusedCandidate(candidate=candidate, fused_rank=rank, fused_score=score)
        for rank, (score, candidate) in enumerate(scored, start=1)
    ]
    kept, behind = fused[: choices.candidates], fused[choices.candidates :]
    return Fusion(candidates=tuple(kept), lost=_losses(kept, behind))


def _fused_score(candidate: Candidate, choices: QueryDefaults) -> float:
    ranks = ((choices.bm25_weight, candidate.bm25_rank), (choices.knn_weight, candidate.knn_rank))
    return sum(weight / (RRF_K + rank) for weight, rank in ranks if rank is not None)


def _best_rank(candidate: Candidate, choices: QueryDefaults) -> int:
    ranks = ((choices.bm25_weight, candidate.bm25_rank), (choices.knn_weight, candidate.knn_rank))
    return min(rank for weight, rank in ranks if rank is not None and weight > 0.0)


def _losses(kept: Sequence[FusedCandidate], behind: Sequence[FusedCandidate]) -> tuple[FusionLoss, ...]:
    present = {fused.candidate.chunk.document_id for fused in kept}
    losses: dict[str, FusionLoss] = {}
    for fused in behind:
        document_id = fused.candidate.chunk.document_id
        if document_id not in present and document_id not in losses:
            losses[document_id] = FusionLoss(
                document_id=document_id,
                fused_rank=fused.fused_rank,
                bm25_rank=fused.candidate.bm25_rank,
                knn_rank=fused.candidate.knn_rank,
            )
    return tuple(losses.values())
