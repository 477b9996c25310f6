"""Which queries and documents may train, which calibrate, and which only measure.

Queries that share a document belong together, so slices are drawn over groups of queries and documents that hang
together by a grade or as a question's source. A group with any query outside the `train` split measures only. Of the
others one in ten, by a hash of a document's id, is kept to calibrate; training sees nothing of these.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Final

from second_opinion.pipeline.disjoint_sets import DisjointSets
from second_opinion.pipeline.evaluation.datasets import Dataset

MEASURE_ONLY: Final = frozenset({"chunking_eval", "cranfield", "trec_dl19", "wikiqa"})
"""Data sets whose licence or purpose forbids training on any of their splits."""
CALIBRATE_SHARE: Final = 0.1


class Slice(StrEnum):
    """What a query or a document may be used for."""

    TRAIN = "train"
    CALIBRATE = "calibrate"
    MEASURE = "measure"


@dataclass(frozen=True)
class Slices:
    """The slice of every query and document of one data set, by id."""

    questions: dict[str, Slice]
    passages: dict[str, Slice]


def slice_dataset(dataset: Dataset) -> Slices:
    """Assign each query and document of `dataset` to its slice; the same ids always fall alike."""
    groups: DisjointSets[str] = DisjointSets()
    for identity, question in dataset.questions.items():
        linked = [*dataset.grades.get(identity, {}), *([question.source] if question.source else [])]
        for document in linked:
            groups.join(f"q:{identity}", f"d:{document}")
    members: dict[str, list[str]] = {}
    for node in [*(f"q:{one}" for one in dataset.questions), *(f"d:{one}" for one in dataset.passages)]:
        members.setdefault(groups.root(node), []).append(node)
    questions: dict[str, Slice] = {}
    passages: dict[str, Slice] = {}
    for nodes in members.values():
        chosen = _slice_of(dataset, nodes)
        for node in nodes:
            (questions if node[0] == "q" else passages)[node[2:]] = chosen
    return Slices(questions, passages)


def untrained_questions(dataset: Dataset, trained_on: Collection[str]) -> Dataset:
    """Return the data set with only those questions that a model did not learn from.

    Of the `train` split of a set that trained it, the `calibrate` slice stays; any other set stays as it is.

    Args:
        dataset: With the questions of all its splits, since slices are drawn over them together.
        trained_on: Names of the data sets that trained the model.
    """
    if dataset.name not in trained_on:
        return dataset
    slices = slice_dataset(dataset).questions
    kept = {
        identity: question
        for identity, question in dataset.questions.items()
        if question.split != "train" or slices[identity] is Slice.CALIBRATE
    }
    return replace(dataset, questions=kept)


def calibrates(document: str, share: float = CALIBRATE_SHARE) -> bool:
    """Whether the hash of a document's id puts it into the calibrate slice."""
    return int.from_bytes(sha256(document.encode()).digest()[:8], "big") < share * 2**64


def _slice_of(dataset: Dataset, nodes: list[str]) -> Slice:
    if dataset.name in MEASURE_ONLY:
        return Slice.MEASURE
    if any(dataset.questions[node[2:]].split != "train" for node in nodes if node[0] == "q"):
        return Slice.MEASURE
    eldest = min((node[2:] for node in nodes if node[0] == "d"), default=nodes[0])
    return Slice.CALIBRATE if calibrates(f"{dataset.name}/{eldest}") else Slice.TRAIN
