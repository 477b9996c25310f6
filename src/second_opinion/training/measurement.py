"""How well a network orders the candidates of a pool, beside the lists and their fusion."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from second_opinion.training.batches import blocks
from second_opinion.training.network import Reranker
from second_opinion.training.pool import PADDING, Pool, Texts
from second_opinion.training.tokens import Ids

CUT: Final = 10
Scores = NDArray[np.float64]
Scorer = Callable[[Sequence[tuple[Ids, Ids]]], Scores]
"""Takes pairs of query and passage tokens, returns one logit each."""


def network_scorer(network: Reranker, device: str = "cpu", *, max_length: int = 256, tokens: int = 8_192) -> Scorer:
    """Return a scorer that runs `network` in bfloat16."""

    def score(pairs: Sequence[tuple[Ids, Ids]]) -> Scores:
        network.eval()
        found = np.zeros(len(pairs))
        for block in blocks(pairs, max_length, tokens):
            given = [one.to(device) for one in (block.ids, block.mask, block.sides)]
            with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
                found[block.places] = network(*given).squeeze(-1).double().cpu().numpy()
        return found

    return score


def score_pool(scorer: Scorer, pool: Pool, texts: Texts, depth: int) -> Scores:
    """Score the first `depth` candidates of every query. Returns [N, depth], -inf where there is no candidate."""
    candidates = pool.candidates[:, :depth]
    rows, columns = np.nonzero(candidates != PADDING)
    pairs = [
        (texts.queries[int(pool.queries[row])], texts.passages[int(candidates[row, column])])
        for row, column in zip(rows, columns, strict=True)
    ]
    scores = np.full(candidates.shape, -np.inf)
    scores[rows, columns] = scorer(pairs)
    return scores


def list_scores(ranks: NDArray[np.int16]) -> Scores:
    """Return scores that order candidates as one list had them; those that it lacked come last."""
    return np.where(ranks < 0, -np.inf, -ranks.astype(np.float64))


def fused_scores(pool: Pool) -> Scores:
    """Return scores that order candidates as fusion did."""
    return np.broadcast_to(-np.arange(pool.candidates.shape[1], dtype=np.float64), pool.candidates.shape)


def ndcg(pool: Pool, scores: Scores) -> Scores:
    """Return nDCG@10 of each query with a relevant passage, [N]; NaN for the others. Gains are the targets."""
    found = np.full(len(pool), np.nan)
    for row in range(len(pool)):
        targets = np.nan_to_num(pool.targets[row])
        # Relevant passages that no list had count in the ideal order as one each, as far as their sum goes.
        ideal = np.sort(np.concatenate([targets, np.ones(int(np.ceil(pool.missing[row])))]))[::-1][:CUT]
        if ideal.sum() == 0:
            continue
        order = np.argsort(-scores[row], kind="stable")
        order = order[np.isfinite(scores[row][order])][:CUT]
        found[row] = _gain(targets[order]) / _gain(ideal)
    return found


def auroc(scores: Scores, positive: NDArray[np.bool_]) -> float | None:
    """Return the probability that a positive outscores a negative, ties counted half; None if either is absent."""
    if positive.all() or not positive.any():
        return None
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    lower = np.searchsorted(below, above, side="left") + np.searchsorted(below, above, side="right")
    return float(lower.sum() / 2 / (len(above) * len(below)))


def measure(scorer: Scorer, pool: Pool, texts: Texts, depth: int = 50) -> dict[str, dict[str, Any]]:
    """Return by data set: queries, mean nDCG@10 of each order, and AUROC of the best logit for answerable queries."""
    figures: dict[str, dict[str, Any]] = {}
    for name in pool.names:
        part = pool.of_set(name)
        if not len(part):
            continue
        scores = score_pool(scorer, part, texts, depth)
        orders = {
            "bm25": list_scores(part.bm25_ranks),
            "knn": list_scores(part.knn_ranks),
            "fused": fused_scores(part),
            "reranked": scores,
        }
        row: dict[str, Any] = {"queries": len(part)}
        row |= {kind: round(float(np.nanmean(ndcg(part, found))), 4) for kind, found in orders.items()}
        row["auroc"] = auroc(scores.max(axis=1), part.answerable)
        figures[name] = row
    return figures


def _gain(targets: NDArray[Any]) -> float:
    return float((targets / np.log2(np.arange(2, len(targets) + 2))).sum())
