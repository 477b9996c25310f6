"""Models: bi-encoders, which give vectors, and rerankers, which give raw scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from second_opinion.pipeline.ports.work import Guard, TimeIsOver, no_guard
from second_opinion.schemas.calibration import Scale
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.usage import RerankUsage

Vectors = NDArray[np.float32]

Meter = Callable[[RerankUsage], None]
"""Told what an answer cost as soon as it is known, be the answer of use or not. Any thread may call it."""


def no_meter(usage: RerankUsage) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """What a bi-encoder is: id, revision, length of its vectors, and how many tokens it reads."""

    model: str
    revision: str
    dims: int
    max_tokens: int


class Embedder(Protocol):
    """A bi-encoder. Vectors have unit length; the same text has the same vector, alone or beside others."""

    spec: EmbedderSpec

    def embed_query(self, text: str) -> Vectors:
        """Return the query's vector, shape (dims,)."""

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Return the passages' vectors, shape (len(texts), dims)."""


@dataclass(frozen=True, slots=True)
class RerankerSpec:
    """What a reranker is: all that its calibration is keyed by.

    Attributes:
        scale: What its raw scores are; declared by the adapter, never guessed from data.
        file_hash: SHA-256 of the model file, empty for a remote provider.
        kernel: The kernel class the processor selects (such as `avx512-vnni`), empty where it does not matter.
        trained_on: Names of the data sets whose train split trained it; empty where that is not known.
        query_dependent: The provider says that one query's scores cannot be compared with another's, so without a
            calibration a floor on them means something else for each query.
    """

    model: str
    revision: str
    backend: str
    dtype: str
    max_tokens: int
    scale: Scale
    file_hash: str = ""
    runtime: str = ""
    kernel: str = ""
    query_dependent: bool = False
    trained_on: tuple[str, ...] = ()


class Reranker(Protocol):
    """A cross-encoder or a provider of one. The same pair has the same score, alone or beside others."""

    spec: RerankerSpec

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return one raw score for each passage, in order, all finite.

        Raises:
            RerankUnavailable: If no scores can be had right now.
        """


@runtime_checkable
class MeteredReranker(Reranker, Protocol):
    """A reranker whose scores are counted or paid for."""

    def score_metered(
        self, query: str, passages: Sequence[str], *, meter: Meter, guard: Guard = no_guard
    ) -> list[float]:
        """Return what `score` does; the meter hears what each answer cost, also when there are no scores in the end.

        Raises:
            RerankUnavailable: If no scores can be had right now.
        """


@runtime_checkable
class TimedReranker(Reranker, Protocol):
    """A local reranker, which reads one passage after the other and can stop with what it has."""

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> Sequence[float | OpinionError | None]:
        """Return one raw score for each passage, in order; None for those not read when `is_over` first said so.

        Passages are begun in their order. Work that has begun is not waited for. Without `is_over` all are read. A
        passage on which the model fails has the error in place of its score, and the others have theirs.

        Raises:
            RerankUnavailable: If no scores can be had right now.
        """


@runtime_checkable
class QueryReader(Protocol):
    """A model that can tell how much of a query it reads. Of a provider's nobody knows."""

    def query_cut(self, query: str) -> int | None:
        """Return how many tokens are sure to be read of a query that has more; None for one that is read whole."""


@runtime_checkable
class PassageReader(Protocol):
    """A model that can tell how much of a passage it reads, and where a passage has so many tokens."""

    def reads_whole(self, query: str, passage: str) -> bool:
        """Tell whether the pair fits the window, so that nothing of the passage is left out."""

    def beginning(self, passage: str, tokens: int) -> str:
        """Return the first `tokens` tokens of a passage as text; the passage itself when it has no more."""


class ScoreCache(Protocol):
    """Raw scores of one reranker, known from before. It never raises: in doubt a score is not known."""

    def get(self, query: str, passages: Sequence[str]) -> list[float | None]:
        """Return the score of each passage, in order and to the last bit, or None for those that are not known."""

    def put(self, query: str, passages: Sequence[str], scores: Sequence[float]) -> None:
        """Keep the score of each passage."""
