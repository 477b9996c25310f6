"""Folds for cross-validation: queries whose documents hang together never stand on both sides."""

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from second_opinion.pipeline.disjoint_sets import DisjointSets
from second_opinion.schemas.errors import NotEnoughJudgements

FOLDS: Final = 5


def document_groups(linked: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Return the group of each query: those that share a document, directly or through others, are in one.

    Args:
        linked: The documents of each query; one without any is a group of its own.
    """
    groups: DisjointSets[int] = DisjointSets()
    first_with: dict[str, int] = {}
    for query, documents in enumerate(linked):
        for document in documents:
            groups.join(query, first_with.setdefault(document, query))
    return np.array([groups.root(query) for query in range(len(linked))], dtype=np.int64)


def grouped_folds(classes: Sequence[bool], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the fold of each query: no group is cut, and both classes are spread as evenly as that allows.

    Raises:
        NotEnoughJudgements: If there are fewer than two groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415 - an extra, loaded when it is needed

    several = min(FOLDS, len(set(groups.tolist())), max(classes.count(True), classes.count(False)))
    if several < 2:  # noqa: PLR2004 - one to fit on, one to look at
        raise NotEnoughJudgements(
            "too few judged questions are about different documents, so a calibration cannot be checked on others",
            hint="Judge candidates of questions about other documents: opinion judge JOB CHUNK relevant",
        )
    folds = np.zeros(len(groups), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=several, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class may have fewer groups than there are folds; that is looked at where a curve is fitted.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(groups)), np.asarray(classes, int), groups)):
            folds[held_out] = fold
    return folds
