"""Explanations: what became of one document in the answer to one query, and at which stage."""

from enum import StrEnum

from second_opinion.schemas.base import Record
from second_opinion.schemas.candidate import FusionLoss
from second_opinion.schemas.verdict import Passage


class Fate(StrEnum):
    """How far a document got, in the order of the stages."""

    NOT_INDEXED = "not_indexed"
    FILTERED_OUT = "filtered_out"
    NOT_RETRIEVED = "not_retrieved"
    LOST_IN_FUSION = "lost_in_fusion"
    UNSCORED = "unscored"
    BELOW_FLOOR = "below_floor"
    QUERY_BELOW_FLOOR = "query_below_floor"
    OVER_TOP_K = "over_top_k"
    OVER_DOCUMENT_CAP = "over_document_cap"
    KEPT = "kept"


class Explanation(Record):
    """What became of one document in the answer to one query.

    Attributes:
        fate: How far its best passage got.
        sentence: The same for people, with the numbers.
        hint: What would change it; empty when nothing has to.
        passages: Its candidates in final order, each with its decision and every stage's numbers.
        loss: Where it stood when fusion lost it.
        chunks: How many chunks of it readers see now; None when it is not indexed.
        changed_since: True when the document changed after the query was answered, so that the answer knew another one.
    """

    job_id: str
    collection: str
    document_id: str
    fate: Fate
    sentence: str
    hint: str = ""
    floor: float
    passages: tuple[Passage, ...] = ()
    loss: FusionLoss | None = None
    chunks: int | None = None
    changed_since: bool = False
