"""What asking rerankers cost."""

from typing import Self

from pydantic import Field

from second_opinion.schemas.base import Record


class RerankUsage(Record):
    """What was asked of a provider of rerank scores, as far as it says.

    Attributes:
        requests: Requests that were answered, whether or not the answer could be used: it is paid for either way.
        search_units: What Cohere bills by.
        tokens: What others bill by.
        unusable: Times that an answer was no usable score for each passage.
    """

    requests: int = Field(default=0, ge=0)
    search_units: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    tokens: int = Field(default=0, ge=0)
    unusable: int = Field(default=0, ge=0)

    def __add__(self, other: "RerankUsage") -> Self:
        """Return the sum of both; what else this one says stays."""
        amounts = {name: getattr(self, name) + getattr(other, name) for name in RerankUsage.model_fields}
        return self.model_copy(update=amounts)


class RerankerUsage(RerankUsage):
    """What one query cost at one reranker: split lists, tries and waiting are added up.

    Attributes:
        name: The reranker's name in the settings.
        reranker: Id and revision of its model.
    """

    name: str
    reranker: str


class DailyUsage(RerankUsage):
    """What all queries of a day cost at one reranker.

    Attributes:
        day: Date in UTC, such as `2026-02-03`.
        name: The reranker's name in the settings.
    """

    day: str
    name: str
