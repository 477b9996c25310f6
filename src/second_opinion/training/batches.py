"""Batches of a training run: which queries, which of their candidates, in which order, all decided by seed and step.

Nothing is remembered between steps, so a run resumes at step n by asking for step n.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from second_opinion.training.pool import PADDING, Pool, Texts
from second_opinion.training.tokens import CLS, SEP, Ids

WINDOW: Final = 16
"""Steps whose queries are sorted together by length, so that those of a step are about as long."""


@dataclass(frozen=True)
class Sampling:
    """How a step is drawn: `queries` a step, `candidates` of each, titles left out for a share of the queries."""

    seed: int = 0
    queries: int = 16
    candidates: int = 5
    positives: int = 2
    titleless: float = 0.3
    max_length: int = 256


@dataclass(frozen=True)
class PairBatch:
    """Pairs of one padded block: int64 [B, S] each, and the places of the pairs in their step, [B]."""

    ids: Tensor
    mask: Tensor
    sides: Tensor
    places: NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """All pairs of one step. `targets` and `guidance` are [queries, candidates]; pair i is query i // candidates."""

    pairs: list[tuple[Ids, Ids]]
    targets: Tensor
    guidance: Tensor | None = None


class Sampler:
    """Draws the steps of a run from a pool."""

    def __init__(self, pool: Pool, texts: Texts, sampling: Sampling) -> None:
        self._pool = pool
        self._texts = texts
        self._how = sampling
        lengths = texts.passages.starts[1:] - texts.passages.starts[:-1]
        known = np.where(pool.candidates == PADDING, 0, pool.candidates)
        self._length = np.where(pool.candidates == PADDING, 0, lengths[known])[:, : sampling.candidates].mean(axis=1)
        self._steps_an_epoch = max(1, len(pool) // sampling.queries)

    @property
    def steps_an_epoch(self) -> int:
        """How many steps show every query once."""
        return self._steps_an_epoch

    def step(self, number: int) -> Step:
        """Return step `number`, counted from 0."""
        epoch, place = divmod(number, self._steps_an_epoch)
        rows = self._order(epoch)[place * self._how.queries : (place + 1) * self._how.queries]
        chance = np.random.default_rng([self._how.seed, number])
        pairs: list[tuple[Ids, Ids]] = []
        targets, guidance = [], []
        for row in rows:
            chosen = self._choose(int(row), chance)
            bare = chance.random() < self._how.titleless
            query = self._texts.queries[int(self._pool.queries[row])]
            pairs += [(query, self._passage(int(self._pool.candidates[row, one]), bare=bare)) for one in chosen]
            targets.append(self._pool.targets[row, chosen])
            if self._pool.guidance is not None:
                guidance.append(self._pool.guidance[row, chosen])
        return Step(
            pairs, torch.from_numpy(np.stack(targets)), torch.from_numpy(np.stack(guidance)) if guidance else None
        )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        chance = np.random.default_rng([self._how.seed, epoch, 1])
        order = chance.permutation(len(self._pool))
        size = self._how.queries
        windows = [order[start : start + WINDOW * size] for start in range(0, len(order), WINDOW * size)]
        steps: list[NDArray[np.int64]] = []
        for window in windows:
            arranged = window[np.argsort(self._length[window], kind="stable")]
            steps += [arranged[start : start + size] for start in range(0, len(arranged), size)]
        whole = [one for one in steps if len(one) == size] or steps
        return np.concatenate([whole[place] for place in chance.permutation(len(whole))])

    def _choose(self, row: int, chance: np.random.Generator) -> NDArray[np.int64]:
        targets, candidates = self._pool.targets[row], self._pool.candidates[row]
        ranks = self._pool.bm25_ranks[row] + self._pool.knn_ranks[row]
        known = np.flatnonzero(candidates != PADDING)
        positive = known[targets[known] > 0][: self._how.positives]
        others = known[targets[known] == 0]
        # What was put in front of the lists, in neither of them, is the passage that a question was written about.
        pinned = others[:1] if len(others) and (not len(positive) or ranks[others[0]] == 2 * PADDING) else others[:0]
        rest = np.setdiff1d(others, pinned)
        wanted = self._how.candidates - len(positive) - len(pinned)
        drawn = chance.permutation(rest)[:wanted]
        chosen = np.concatenate([positive, pinned, drawn])
        return np.resize(chosen, self._how.candidates)

    def _passage(self, row: int, *, bare: bool) -> Ids:
        ids = self._texts.passages[row]
        title = int(self._texts.title_lengths[row])
        return ids[title:] if bare and title < len(ids) else ids


def blocks(pairs: Sequence[tuple[Ids, Ids]], max_length: int, tokens: int) -> Iterator[PairBatch]:
    """Yield `pairs` as padded blocks of similar length, shortest first, each of at most `tokens` places."""
    lengths = np.array([pair_length(pair, max_length) for pair in pairs])
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and lengths[order[end]] * (end + 1 - start) <= tokens:
            end += 1
        yield pad([pairs[place] for place in order[start:end]], order[start:end], max_length)
        start = end


def pair_length(pair: tuple[Ids, Ids], max_length: int) -> int:
    """Return how many tokens a pair has, four special ones included, after truncation."""
    return min(len(pair[0]) + len(pair[1]) + 4, max_length)


def pad(pairs: Sequence[tuple[Ids, Ids]], places: NDArray[np.int64], max_length: int) -> PairBatch:
    """Lay out pairs as `[CLS] query [SEP] [CLS] passage [SEP]`, the passage cut to fit."""
    width = max(pair_length(pair, max_length) for pair in pairs)
    ids = np.zeros((len(pairs), width), dtype=np.int64)
    sides = np.zeros_like(ids)
    for line, side, (query, passage) in zip(ids, sides, pairs, strict=True):
        first = len(query) + 2
        room = max_length - first - 2
        row = [CLS, *query, SEP, CLS, *passage[:room], SEP]
        line[: len(row)] = row
        side[first : len(row)] = 1
    given = torch.from_numpy(ids)
    return PairBatch(given, (given != 0).long(), torch.from_numpy(sides), places)
