"""Doubles of the model ports that need no model file: quick, deterministic, and sensible on plain words."""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np

from second_opinion.pipeline.ports import EmbedderSpec, Guard, RerankerSpec, TimeIsOver, Vectors, no_guard

DIMS: Final = 64
_MIDDLE: Final = 0.5
_STEEPNESS: Final = 10.0


class WordEmbedder:
    """An `Embedder` that gives each word a direction, so that texts with words in common are near each other."""

    def __init__(self, dims: int = DIMS) -> None:
        self.spec = EmbedderSpec(model="word-embedder", revision="1", dims=dims, max_tokens=256)

    def embed_query(self, text: str) -> Vectors:
        """Return the query's vector, shape (dims,)."""
        vector: Vectors = self.embed_passages([text])[0]
        return vector

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Return the passages' vectors, shape (len(texts), dims)."""
        guard()
        vectors = np.zeros((len(texts), self.spec.dims), np.float32)
        for row, text in enumerate(texts):
            guard()
            for word in sorted(words(text)):
                vectors[row] += self._direction(word)
            length = float(np.linalg.norm(vectors[row]))
            vectors[row] = vectors[row] / length if length > 0.0 else self._direction("")
        return vectors

    def _direction(self, word: str) -> Vectors:
        seed = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
        direction: Vectors = np.random.default_rng(seed).standard_normal(self.spec.dims).astype(np.float32)
        return direction / np.linalg.norm(direction)


class WordReranker:
    """A `TimedReranker` whose logit is the share of the query's words that the passage has: 5 for all, -5 for none."""

    def __init__(self) -> None:
        self.spec = RerankerSpec(
            model="word-reranker", revision="1", backend="double", dtype="none", max_tokens=256, scale="logit"
        )

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return one raw score for each passage, in order."""
        guard()
        scores = []
        for passage in passages:
            guard()
            scores.append(_shared(query, passage))
        return scores

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> list[float | None]:
        """Return one raw score for each passage, in order; None for those not read in time."""
        guard()
        scores: list[float | None] = []
        for passage in passages:
            guard()
            scores.append(None if is_over is not None and is_over() else _shared(query, passage))
        return scores


def _shared(query: str, passage: str) -> float:
    asked = words(query)
    return _STEEPNESS * (len(asked & words(passage)) / max(1, len(asked)) - _MIDDLE)


def words(text: str) -> set[str]:
    """Return the words of a text in lower case, without a plural's s."""
    return {word.removesuffix("s") for word in re.findall(r"[a-z0-9]+", text.lower())}
