"""What stronger bi-encoders think of every candidate of a pool, kept beside its judgements for the guide loss.

A guide reads query and passage apart, which takes minutes for a whole pool. None of them is needed after training.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from second_opinion.training.encoder import embed, from_bi_encoder, shape_for
from second_opinion.training.network import Reranker
from second_opinion.training.pool import PADDING, Pool, Texts
from second_opinion.training.tokens import read_tokenizer

GUIDE_FILE: Final = "guide.json"
SPREAD: Final = 2.5
"""Standard deviation of the guidance among a query's candidates, at which the first of sixteen has about half."""

Vectors = NDArray[np.float16]


@dataclass(frozen=True)
class Habits:
    """How a bi-encoder wants its texts, beside its weights in `guide.json`.

    Attributes:
        pooling: Whether a text's vector is the mean of its tokens' or that of the first.
        query: What is written before a query.
        passage: What is written before a passage.
    """

    pooling: Literal["mean", "first"] = "mean"
    query: str = ""
    passage: str = ""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read them from a model's folder; without a file, they are the plain ones."""
        place = folder / GUIDE_FILE
        return cls(**json.loads(place.read_text(encoding="utf-8"))) if place.exists() else cls()


@dataclass(frozen=True)
class Guide:
    """A bi-encoder with the vocabulary of the prepared texts."""

    network: Reranker
    habits: Habits
    query_prefix: tuple[int, ...]
    passage_prefix: tuple[int, ...]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a folder with `model.safetensors`, `tokenizer.json` and, if need be, `guide.json`."""
        weights, habits = folder / "model.safetensors", Habits.of(folder)
        tokenizer = read_tokenizer(folder / "tokenizer.json")
        shape = shape_for(weights)
        prefixes = [
            tuple(tokenizer.encode(text, add_special_tokens=False).ids) for text in (habits.query, habits.passage)
        ]
        return cls(from_bi_encoder(weights, replace(shape, apart=shape.layers)), habits, *prefixes)

    def cosines(self, pool: Pool, texts: Texts, device: str, tick: Callable[[int], Any]) -> NDArray[np.float32]:
        """Return the cosine of every candidate with its query, NaN for padding, [N, C]."""
        rows, places = np.unique(pool.candidates, return_inverse=True)
        known = rows[rows != PADDING]
        asked, at = np.unique(pool.queries, return_inverse=True)
        read = partial(embed, self.network, pooling=self.habits.pooling, device=device)
        queries = read(texts.queries.pick(asked), prefix=self.query_prefix)
        passages = read(texts.passages.pick(known), prefix=self.passage_prefix, tick=tick)
        padding = len(rows) - len(known)
        return candidate_cosines(queries[at], passages, places.reshape(pool.candidates.shape) - padding)


def candidate_cosines(queries: Vectors, passages: Vectors, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return cosines [N, C] of unit vectors: queries [N, width], and of passages [M, width] those in `places` [N, C].

    A place below 0 is padding, and its cosine NaN.
    """
    found: NDArray[np.float32] = np.einsum(
        "nw,ncw->nc", queries.astype(np.float32), passages[places].astype(np.float32)
    )
    found[places < 0] = np.nan
    return found


def combine(cosines: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Make one guidance [N, C] of the cosines of several guides, each counting alike, centred within each query."""
    total = np.zeros_like(cosines[0])
    for one in cosines:
        centred = one - np.nanmean(one, axis=1, keepdims=True)
        total += centred / np.nanstd(centred)
    return np.asarray(SPREAD * total / np.nanstd(total), np.float32)
