"""Pairs over which the inputs of a model's products are measured: training questions, with near and far passages."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from second_opinion.pipeline.evaluation.datasets import read_dataset
from second_opinion.pipeline.evaluation.slices import Slice, slice_dataset
from second_opinion.schemas.chunk import passage_text
from second_opinion.training.candidates import sample
from second_opinion.training.mining import bm25_lists

PASSAGES: Final = 2_000
"""Of each data set so many are looked through: enough for neighbours, and soon done."""
NEAR: Final = 2
LONGEST: Final = 1_200
"""Characters of a passage that are read: about a chunk."""


def pairs_to_measure(datasets: Sequence[Path], *, questions: int = 12) -> list[tuple[str, str]]:
    """Return pairs of question and passage; the same ones at every call.

    Only questions of the training slice take part, so that what calibrates or measures a model has not shaped it.
    """
    return [pair for folder in datasets for pair in _pairs(folder, questions)]


def _pairs(folder: Path, wanted: int) -> Iterator[tuple[str, str]]:
    dataset, chance = read_dataset(folder), random.Random(folder.name)  # noqa: S311 - a sample, not a secret
    slices = slice_dataset(dataset).questions
    asked = sample([one for one in dataset.questions.values() if slices[one.id] is Slice.TRAIN], wanted)
    passages = [passage_text(one.title, (), one.text[:LONGEST]) for one in list(dataset.passages.values())[:PASSAGES]]
    for question, found in zip(asked, bm25_lists(passages, [one.text for one in asked]), strict=True):
        for row in [*found[:NEAR], chance.randrange(len(passages))]:
            yield question.text, passages[row]
