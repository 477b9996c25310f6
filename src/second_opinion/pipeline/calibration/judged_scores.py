"""Judged candidates of queries, as calibrations are fitted on them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from second_opinion.pipeline.resampling import Booleans, Floats


@dataclass(frozen=True, slots=True)
class JudgedScores:
    """The judged candidates of one query.

    Attributes:
        raw: Raw scores [N].
        relevant: Whether each is relevant [N].
        documents: Ids of the documents that the query hangs on: those relevant to it and the one it was written about.
        best_raw: Raw score of its best candidate, judged or not; None when it had none.
        answerable: Whether any of its candidates is relevant; None when too little is judged to tell.
        source: Name of the data slice it comes from.
    """

    raw: Floats
    relevant: Booleans
    documents: tuple[str, ...]
    best_raw: float | None
    answerable: bool | None
    source: str = ""

    @classmethod
    def of_all(cls, raw: Floats, relevant: Booleans, documents: Iterable[str], source: str) -> Self:
        """Return the candidates of a query of which each has a label, so that it is known if any is relevant.

        Args:
            raw: Raw scores [N].
            relevant: Labels [N].
            documents: Ids of the documents that the query hangs on, as the data set `source` calls them.
            source: Name of the data set.
        """
        return cls(
            raw=raw,
            relevant=relevant,
            documents=tuple(f"{source}/{document}" for document in documents),
            best_raw=float(raw.max()) if len(raw) else None,
            answerable=bool(relevant.any()),
            source=source,
        )
