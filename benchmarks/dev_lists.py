"""Real questions with the lists that rerankers are compared on: development queries, each with BM25's first chunks."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.evaluation.datasets import read_dataset
from second_opinion.training.candidates import cut_passage
from second_opinion.training.mining import bm25_lists

SETS = ("squad2_dev", "nq_open", "covid_qa", "scifact", "pubmedqa", "medquad", "cranfield", "chunking_eval")
CUT = 10


@dataclass(frozen=True)
class Listed:
    """A question with its candidates in BM25's order, the document of each, and the grades of documents."""

    dataset: str
    question: str
    passages: list[str]
    documents: list[str]
    grades: Mapping[str, int]

    def ndcg(self, scores: Sequence[float]) -> float:
        """Return nDCG@10 of the documents in the order of their best chunks."""
        ordered = [self.documents[row] for row in np.argsort(-np.asarray(scores), kind="stable")]
        found = [self.grades.get(one, 0) for one in dict.fromkeys(ordered)]
        return _gain(found) / _gain(sorted(self.grades.values(), reverse=True))


def dev_lists(data: Path, queries: int, candidates: int, seed: int = 0) -> list[Listed]:
    """Return so many development questions that have an answer, the same number of each set, always the same ones."""
    embedder = OnnxEmbedder.open(threads=1)
    found: list[Listed] = []
    for place, name in enumerate(SETS):
        wanted = (queries * (place + 1)) // len(SETS) - (queries * place) // len(SETS)
        dataset = read_dataset(data / name)
        answered = [
            one
            for one in dataset.questions.values()
            if one.split == "dev" and any(grade > 0 for grade in dataset.grades.get(one.id, {}).values())
        ]
        asked = random.Random(f"{seed}/{name}").sample(answered, wanted)
        if not asked:
            continue
        chunks = [(one.id, text) for one in dataset.passages.values() for text in cut_passage(one, embedder.tokenizer)]
        lists = bm25_lists([text for _, text in chunks], [one.text for one in asked], candidates)
        for question, rows in zip(asked, lists, strict=True):
            grades = {**dataset.absent.get(question.id, {}), **dataset.grades[question.id]}
            read = [chunks[row] for row in rows]
            found.append(Listed(name, question.text, [one[1] for one in read], [one[0] for one in read], grades))
    embedder.close()
    return found


def _gain(grades: Sequence[int]) -> float:
    return float(sum(grade / np.log2(place + 2) for place, grade in enumerate(grades[:CUT])))
