"""Candidates for training: BM25 and the bi-encoder over one corpus, fused by reciprocal rank as retrieval does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray

RRF_CONSTANT: Final = 60
LIST_DEPTH: Final = 100


@dataclass(frozen=True)
class Ranking:
    """One query's candidates in fused order, with where each list had them (-1 = not in it)."""

    rows: NDArray[np.int64]
    bm25_ranks: NDArray[np.int64]
    knn_ranks: NDArray[np.int64]


def bm25_lists(passages: Sequence[str], queries: Sequence[str], depth: int = LIST_DEPTH) -> NDArray[np.int64]:
    """Rank `passages` by BM25 over English stems. Returns rows [len(queries), depth], best first."""
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(k1=1.2, b=0.75)
    known = bm25s.tokenize(list(passages), stopwords="en", stemmer=stemmer, show_progress=False)
    index.index(known, show_progress=False)
    asked = bm25s.tokenize(list(queries), stopwords="en", stemmer=stemmer, show_progress=False)
    found, _ = index.retrieve(asked, k=min(depth, len(passages)), show_progress=False)
    return np.asarray(found, dtype=np.int64)


def knn_lists(
    passages: NDArray[np.float16], queries: NDArray[np.float16], depth: int = LIST_DEPTH
) -> NDArray[np.int64]:
    """Rank by cosine of unit vectors, exactly. Returns rows [len(queries), depth], best first."""
    wide = passages.astype(np.float32).T
    found = []
    for start in range(0, len(queries), 256):
        cosines = queries[start : start + 256].astype(np.float32) @ wide
        found.append(np.argsort(-cosines, axis=1)[:, :depth])
    return np.concatenate(found) if found else np.zeros((0, depth), dtype=np.int64)


def fuse(bm25: NDArray[np.int64], knn: NDArray[np.int64], depth: int) -> Ranking:
    """Fuse two lists of rows by reciprocal rank and keep the first `depth`."""
    ranks = [{int(row): place for place, row in enumerate(found)} for found in (bm25, knn)]
    known = ranks[0].keys() | ranks[1].keys()
    scores = {row: sum(1 / (RRF_CONSTANT + 1 + one[row]) for one in ranks if row in one) for row in known}
    order = sorted(scores, key=lambda row: (-scores[row], row))[:depth]
    places = [np.array([one.get(row, -1) for row in order], dtype=np.int64) for one in ranks]
    return Ranking(np.array(order, dtype=np.int64), *places)
