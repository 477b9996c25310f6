"""Raw scores in memory."""

from collections.abc import Sequence


class MemoryScores:
    """A `ScoreCache` in this process.

    Attributes:
        kept: Scores by query and passage.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], float] = {}

    def get(self, query: str, passages: Sequence[str]) -> list[float | None]:
        """Return the score of each passage, or None for those that are not known."""
        return [self.kept.get((query, passage)) for passage in passages]

    def put(self, query: str, passages: Sequence[str], scores: Sequence[float]) -> None:
        """Keep the score of each passage."""
        self.kept.update({(query, passage): score for passage, score in zip(passages, scores, strict=True)})
