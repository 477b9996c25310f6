"""What a provider's answer cost."""

from pydantic import Field

from second_opinion.schemas.base import Record


class RerankUsage(Record):
    """What was asked of a provider of rerank scores for one query, as far as it says.

    Attributes:
        requests: Requests that were answered with scores.
        search_units: What Cohere bills by.
        tokens: What others bill by.
    """

    requests: int = Field(default=0, ge=0)
    search_units: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    tokens: int = Field(default=0, ge=0)

    def __add__(self, other: "RerankUsage") -> "RerankUsage":
        """Return the sum of both."""
        return RerankUsage(
            requests=self.requests + other.requests,
            search_units=self.search_units + other.search_units,
            tokens=self.tokens + other.tokens,
        )
