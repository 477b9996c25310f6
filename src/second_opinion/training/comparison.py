"""Two rerankers on the same queries and candidates, with intervals by paired bootstrap over queries."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from second_opinion.training.measurement import Scorer, Scores, auroc, fused_scores, ndcg, score_pool
from second_opinion.training.pool import Pool, Texts

_DRAWS: Final = 2_000
_BLOCK: Final = 8


def compare(scorers: dict[str, Scorer], pool: Pool, texts: Texts, depth: int) -> dict[str, dict[str, Any]]:
    """Return by data set each scorer's nDCG@10, the fused order's, and every difference to it with a 95 % interval.

    The scorers take turns, a few queries each, so that a machine whose speed changes treats them alike.
    """
    figures: dict[str, dict[str, Any]] = {}
    for name in pool.names:
        part = pool.of_set(name)
        if len(part):
            figures[name] = _row(_in_turns(scorers, part, texts, depth), part)
    return figures


def interval(values: Scores, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of `values` [N]."""
    chance = np.random.default_rng(seed)
    means = chance.choice(values, (_DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def _in_turns(scorers: dict[str, Scorer], pool: Pool, texts: Texts, depth: int) -> dict[str, Scores]:
    found: dict[str, list[Scores]] = {kind: [] for kind in scorers}
    for start in range(0, len(pool), _BLOCK):
        part = pool.pick(np.arange(start, min(start + _BLOCK, len(pool))))
        for kind, scorer in scorers.items():
            found[kind].append(score_pool(scorer, part, texts, depth))
    return {kind: np.concatenate(blocks) for kind, blocks in found.items()}


def _row(scores: dict[str, Scores], pool: Pool) -> dict[str, Any]:
    fused = ndcg(pool, fused_scores(pool))
    judged: NDArray[np.bool_] = ~np.isnan(fused)
    row: dict[str, Any] = {"queries": int(judged.sum()), "fused": round(float(fused[judged].mean()), 4)}
    for kind, found in scores.items():
        values = ndcg(pool, found)[judged]
        row[kind] = {
            "ndcg10": round(float(values.mean()), 4),
            "ndcg10_interval": interval(values),
            "over_fused": round(float((values - fused[judged]).mean()), 4),
            "over_fused_interval": interval(values - fused[judged]),
            "auroc_answerable": auroc(found.max(axis=1), pool.answerable),
        }
    return row
