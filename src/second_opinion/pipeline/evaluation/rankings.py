"""Rankings of documents by stage: a document stands where its best chunk stands."""

from collections.abc import Iterable
from enum import StrEnum

from second_opinion.schemas.candidate import FusionLoss
from second_opinion.schemas.evaluation import AskedCandidate, AskedQuery
from second_opinion.schemas.verdict import Decision


class Stage(StrEnum):
    """A stage whose order is measured. `floored` is what is shown."""

    BM25 = "bm25"
    KNN = "knn"
    FUSED = "fused"
    RERANKED = "reranked"
    FLOORED = "floored"


def ranking(asked: AskedQuery, stage: Stage) -> list[str]:
    """Return the documents in the order of a stage, best first, each once.

    The lists are known by the chunks that became candidates and, of documents without a candidate, by the best chunk
    that fusion left behind; a document's own chunks that were left behind beside a candidate are not seen.
    """
    candidates = asked.candidates
    listed: list[AskedCandidate | FusionLoss] = [*candidates, *asked.lost_in_fusion]
    match stage:
        case Stage.BM25:
            ranks: list[tuple[int | None, str]] = [(one.bm25_rank, one.document_id) for one in listed]
        case Stage.KNN:
            ranks = [(one.knn_rank, one.document_id) for one in listed]
        case Stage.FUSED:
            ranks = [(one.fused_rank, one.document_id) for one in candidates]
        case Stage.RERANKED:
            ranks = [(one.rank, one.document_id) for one in candidates]
        case Stage.FLOORED:
            ranks = [(one.rank, one.document_id) for one in candidates if one.decision is Decision.KEPT]
    return _documents(ranks)


def _documents(ranks: Iterable[tuple[int | None, str]]) -> list[str]:
    ordered = sorted((rank, document) for rank, document in ranks if rank is not None)
    return list(dict.fromkeys(document for _, document in ordered))
