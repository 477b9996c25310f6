from pathlib import Path

import numpy as np

from second_opinion.pipeline.evaluation.datasets import read_dataset
from second_opinion.pipeline.evaluation.slices import Slice, slice_dataset
from second_opinion.training.pool import PADDING, Pool, Texts


def test_training_sees_no_text_of_another_slice(prepared: Path, folder: Path) -> None:
    """No candidate of a training query is a document that calibrates or measures."""
    dataset, texts = read_dataset(folder), Texts.load(prepared / "texts.npz")
    slices = slice_dataset(dataset)
    may_train = np.array([slices.passages[one] is Slice.TRAIN for one in dataset.passages])
    pool = Pool.load(prepared, Slice.TRAIN)
    shown = pool.candidates[pool.candidates != PADDING]
    assert len(texts.passages) == len(may_train)
    assert len(pool) == sum(part is Slice.TRAIN for part in slices.questions.values())
    assert may_train[shown].all()


def test_every_slice_has_its_own_queries(prepared: Path, folder: Path) -> None:
    """Together the pools hold each query once."""
    rows = [Pool.load(prepared, part).queries for part in Slice]
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(read_dataset(folder).questions)))


def test_a_training_query_has_its_relevant_passage_among_the_candidates(prepared: Path) -> None:
    """Also where retrieval did not find it; a query without an answer has none."""
    pool = Pool.load(prepared, Slice.TRAIN)
    assert np.array_equal((np.nan_to_num(pool.targets) > 0).any(axis=1), pool.answerable)
