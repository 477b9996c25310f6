"""The prepared data: texts as tokens, and for each query its mined candidates with a target each.

Two kinds of files hold it, all small enough to travel: `texts.npz` (queries and passages of every slice) and one
`<slice>.npz` for each slice. A training run opens `train.npz` and nothing of the other slices but their texts' rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from second_opinion.pipeline.evaluation.slices import Slice
from second_opinion.training.tokens import TokenStore

PADDING: Final = -1


@dataclass(frozen=True)
class Texts:
    """Queries and passages of all data sets, addressed by row.

    `title_lengths` counts the leading tokens of a passage that are its title; `rarity` is the inverse document
    frequency of each word piece over the passages that may train, 0 for the special ones.
    """

    passages: TokenStore
    queries: TokenStore
    title_lengths: NDArray[np.uint8]
    rarity: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write everything to one compressed file."""
        np.savez_compressed(
            path,
            passage_ids=self.passages.ids,
            passage_starts=self.passages.starts,
            query_ids=self.queries.ids,
            query_starts=self.queries.starts,
            title_lengths=self.title_lengths,
            rarity=self.rarity,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as kept:
            passages = TokenStore(kept["passage_ids"], kept["passage_starts"])
            queries = TokenStore(kept["query_ids"], kept["query_starts"])
            return cls(passages, queries, kept["title_lengths"], kept["rarity"])


@dataclass(frozen=True)
class Pool:
    """Queries of one slice with their candidates in fused order.

    Attributes:
        queries: Row of each query in the texts, [N].
        sets: Index of its data set in `names`, [N].
        candidates: Rows of passages, padded with -1, [N, C].
        targets: How relevant each candidate is, 0 to 1, NaN for padding, [N, C].
        bm25_ranks: Its place in the BM25 list from 0, -1 if absent, [N, C].
        knn_ranks: Its place in the bi-encoder's list from 0, -1 if absent, [N, C].
        missing: Targets of relevant passages that no candidate list had, summed by query; for the ideal ranking, [N].
        answerable: Whether some passage answers the query, [N].
        names: Names of the data sets.
        guidance: What a guide thinks of each candidate, as logits of which only differences within a query count,
            NaN for padding, [N, C]; None where there was no guide.
    """

    queries: NDArray[np.int32]
    sets: NDArray[np.int8]
    candidates: NDArray[np.int32]
    targets: NDArray[np.float32]
    bm25_ranks: NDArray[np.int16]
    knn_ranks: NDArray[np.int16]
    missing: NDArray[np.float32]
    answerable: NDArray[np.bool_]
    names: tuple[str, ...]
    guidance: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.queries)

    def save(self, folder: Path, part: Slice) -> None:
        """Write the pool as `<slice>.npz` in `folder`."""
        np.savez_compressed(folder / f"{part}.npz", names=np.array(self.names), **self._arrays())

    @classmethod
    def load(cls, folder: Path, part: Slice) -> Self:
        """Read the pool of one slice."""
        with np.load(folder / f"{part}.npz") as kept:
            arrays = {name: kept[name] for name in kept.files if name != "names"}
            return cls(**arrays, names=tuple(str(one) for one in kept["names"]))

    def of_set(self, name: str) -> Self:
        """Return only the queries of one data set."""
        return self.pick(np.flatnonzero(self.sets == self.names.index(name)))

    def pick(self, rows: NDArray[np.int64]) -> Self:
        """Return only the queries in `rows`, in that order."""
        return type(self)(**{name: value[rows] for name, value in self._arrays().items()}, names=self.names)

    def _arrays(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "names" and value is not None}

    def first(self, queries: int) -> Self:
        """Return the first `queries` of each data set."""
        places = [np.flatnonzero(self.sets == number)[:queries] for number in range(len(self.names))]
        return self.pick(np.concatenate(places))
