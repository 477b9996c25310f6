"""Scored candidates as production sees them: chunks, found by BM25 and the bi-encoder, read by the shipped reranker."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_tokens import ModelTokenizer
from second_opinion.pipeline.evaluation.datasets import Dataset, Passage, Question
from second_opinion.pipeline.ports import Reranker
from second_opinion.schemas.chunk import passage_text
from second_opinion.training.mining import bm25_lists, fuse, knn_lists

CHUNK_TOKENS: Final = 180
DEPTH: Final = 100
"""As many as a query's reranker reads unless it is told otherwise: the best of fewer is less high by chance."""


@dataclass(frozen=True)
class ScoredQuery:
    """A query and its candidates.

    Attributes:
        raw: Raw scores [N].
        relevant: Whether each candidate's document is relevant, [N].
        chunks: What was read, [N].
        documents: Ids of the documents it hangs on: those graded relevant, and the one it was written about.
    """

    dataset: str
    question: Question
    raw: NDArray[np.float64]
    relevant: NDArray[np.bool_]
    chunks: tuple[str, ...]
    documents: tuple[str, ...] = ()


class CandidateIndex:
    """The chunks of one or more corpora with their vectors.

    Args:
        corpora: Their documents, by name.
        embedder: Embeds chunks and queries.
        cache: Folder that keeps the vectors of each corpus between calls, or none.
    """

    def __init__(
        self, corpora: Mapping[str, Sequence[Passage]], embedder: OnnxEmbedder, cache: Path | None = None
    ) -> None:
        self._embedder = embedder
        self.documents: list[str] = []
        self.chunks: list[str] = []
        vectors = []
        for name, passages in corpora.items():
            cut = [(one.id, text) for one in passages for text in cut_passage(one, embedder.tokenizer)]
            chunks = [text for _, text in cut]
            self.documents += [document for document, _ in cut]
            self.chunks += chunks
            vectors.append(self._embed(chunks, cache / f"{name}-{len(chunks)}.npy" if cache else None))
        self._vectors = np.concatenate(vectors)

    def _embed(self, chunks: Sequence[str], kept: Path | None) -> NDArray[np.float16]:
        if kept is not None and kept.exists():
            found: NDArray[np.float16] = np.load(kept)
            return found
        vectors = self._embedder.embed_passages(chunks).astype(np.float16)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, vectors)
        return vectors

    def candidates(self, queries: Sequence[str], depth: int = DEPTH) -> list[NDArray[np.int64]]:
        """Return for each query the rows of its first fused candidates."""
        vectors = self._embedder.embed_passages(queries).astype(np.float16)
        lists = zip(bm25_lists(self.chunks, queries), knn_lists(self._vectors, vectors), strict=True)
        return [fuse(bm25, knn, depth).rows for bm25, knn in lists]


def score_queries(
    dataset: Dataset, questions: Sequence[Question], index: CandidateIndex, reranker: Reranker
) -> Iterator[ScoredQuery]:
    """Score the candidates of each query; relevant is what has a grade of 1 or more."""
    found = index.candidates([one.text for one in questions])
    for question, rows in zip(questions, found, strict=True):
        chunks = tuple(index.chunks[row] for row in rows)
        grades = dataset.grades.get(question.id, {})
        linked = {one for one, grade in grades.items() if grade > 0} | ({question.source} - {""})
        relevant = np.array([grades.get(index.documents[row], 0) > 0 for row in rows])
        raw = np.array(reranker.score(question.text, chunks), dtype=np.float64)
        yield ScoredQuery(dataset.name, question, raw, relevant, chunks, tuple(sorted(linked)))


def cut_passage(passage: Passage, tokenizer: ModelTokenizer) -> Iterator[str]:
    """Yield the document in pieces of at most `CHUNK_TOKENS` tokens, each under the document's title."""
    text = passage.text.encode("utf-8", "replace").decode("utf-8")
    offsets = tokenizer.rust.encode(text, add_special_tokens=False).offsets
    for start in range(0, len(offsets), CHUNK_TOKENS):
        piece = offsets[start : start + CHUNK_TOKENS]
        yield passage_text(passage.title, (), text[piece[0][0] : piece[-1][1]])


def sample(questions: Sequence[Question], limit: int) -> list[Question]:
    """Return at most `limit` of the questions, always the same ones."""
    ordered = sorted(questions, key=lambda one: one.id)
    random.Random(len(ordered)).shuffle(ordered)  # noqa: S311 - a sample, not a secret
    return ordered[:limit]
