"""What a retriever asks with: the choices of a query that stay the same from question to question."""

from typing import Any, ClassVar, Self, TypedDict

from pydantic import Field

from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import DEFAULT_COLLECTION, CollectionName, OnUnavailable, QueryOverrides
from second_opinion.schemas.errors import InvalidQuery, OpinionError
from second_opinion.schemas.query import Filter


class Choices(QueryOverrides):
    """The choices of one retriever; what is None comes from the collection, then from the settings.

    Attributes:
        collection: Where to look.
        filters: All of them have to hold.
        timeout: Seconds to wait for an answer.
        deadline_ms: Milliseconds in which the answer is wanted, from what could be read by then.
    """

    error_type: ClassVar[type[OpinionError]] = InvalidQuery

    collection: CollectionName = DEFAULT_COLLECTION
    filters: tuple[Filter, ...] = Field(default=(), max_length=50)
    timeout: float = Field(default=60.0, gt=0.0, le=3_600.0)
    deadline_ms: int | None = Field(default=None, ge=1, le=3_600_000)

    def options(self) -> dict[str, Any]:
        """Return what was chosen as the options of a client's `query`."""
        said = {name: getattr(self, name) for name in type(self).model_fields if name != "schema_version"}
        return {name: value for name, value in said.items() if value is not None}

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return these choices with some of them made anew for one question.

        Raises:
            InvalidQuery: If there is no such choice, or its value is out of range.
        """
        return parse_request(type(self), {**self.options(), **changes}) if changes else self


class ChoiceOptions(TypedDict, total=False):
    """The same choices as keyword arguments; `Choices` says what each is."""

    collection: str
    filters: Any
    floor: float | None
    top_k: int | None
    candidates: int | None
    chunks_per_document: int | None
    bm25_weight: float | None
    knn_weight: float | None
    reranker: str | None
    on_unavailable: OnUnavailable | None
    timeout: float
    deadline_ms: int | None
