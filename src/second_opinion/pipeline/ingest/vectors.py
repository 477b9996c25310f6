"""The vectors of passages: found again where the same text was embedded before, computed where it was not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog

from second_opinion.pipeline.ingest.makers import Maker
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Guard, Vectors
from second_opinion.schemas.chunk import embedding_key
from second_opinion.schemas.errors import OpinionError

VECTOR_DECIMALS: Final = 7

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PassageVector:
    """A vector, and the key under which it is found again; empty if it is not to be."""

    row: list[float]
    key: str


@dataclass(frozen=True, slots=True)
class PassageVectors:
    """The vectors of passages, in their order; of `reused` nothing had to be computed."""

    rows: list[PassageVector]
    reused: int


class VectorSource:
    """Gives vectors. Threads share it."""

    def __init__(self, stores: Stores, policy: Policy) -> None:
        self._stores = stores
        self._policy = policy

    def vectors(self, maker: Maker, texts: Sequence[str], indices: Collection[str], guard: Guard) -> PassageVectors:
        """Return the vectors of passages.

        Args:
            maker: Whose bi-encoder is asked.
            texts: The passages.
            indices: Where a vector of the same text may be; of other models none is found there.
            guard: Called between batches.
        """
        keys = [embedding_key(maker.model, text) for text in texts]
        known = self._known(indices, keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            computed = maker.embedder.embed_passages(list(missing.values()), guard=guard)
            known |= dict(zip(missing, computed, strict=True))
        rows = {key: np.round(vector.astype(np.float64), VECTOR_DECIMALS).tolist() for key, vector in known.items()}
        kept = keys if self._policy.reuse_embeddings else [""] * len(keys)
        found = [PassageVector(rows[key], kept_key) for key, kept_key in zip(keys, kept, strict=True)]
        return PassageVectors(found, len(texts) - len(missing))

    def _known(self, indices: Collection[str], keys: Sequence[str]) -> dict[str, Vectors]:
        """Return vectors that the indices hold already, by key; in doubt none, since they can be computed."""
        known: dict[str, Vectors] = {}
        for index in indices if self._policy.reuse_embeddings else ():
            try:
                known |= self._stores.chunks.embeddings(index, list(dict.fromkeys(keys)))
            except OpinionError as problem:
                log.info("embeddings_not_looked_up", index=index, code=problem.code)
        return known
