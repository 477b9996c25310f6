"""Gradients of a step on several CPU threads, each with its own share of the queries.

PyTorch's own threads meet after every product. On a machine that others use too each of these meetings waits for
whoever was put aside: training was seen to fall to a sixth of its speed beside one background process. Lanes meet
once a step.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import torch
from torch import Tensor

from second_opinion.training.batches import Step
from second_opinion.training.network import Reranker

Loss = Callable[[Reranker, Step], Tensor]
"""Takes a network and a share of a step, returns its loss, averaged over the share's queries."""


class Lanes:
    """Several views of one network: shared weights, separate gradients.

    Args:
        network: Its gradients are what `backward` adds up; whoever changes its weights changes those of all lanes.
        lanes: How many threads. With one, everything happens in the caller's.
    """

    def __init__(self, network: Reranker, lanes: int) -> None:
        self._networks = [network, *(_twin(network) for _ in range(lanes - 1))]
        self._threads = ThreadPoolExecutor(lanes, "lane", initializer=torch.set_num_threads, initargs=(1,))

    def backward(self, step: Step, loss: Loss) -> float:
        """Put the gradients of a step's mean loss where there were none, and return that loss."""
        if len(self._networks) == 1:
            value = loss(self._networks[0], step)
            value.backward()  # type: ignore[no-untyped-call]
            return float(value.detach())
        shares = shares_of(step, len(self._networks))
        losses = list(
            self._threads.map(
                lambda lane, share: _backward(lane, share, loss, len(share.targets) / len(step.targets)),
                self._networks,
                shares,
            )
        )
        first, *others = self._networks
        for parts in zip(first.parameters(), *(one.parameters() for one in others), strict=True):
            for other in parts[1:]:
                if other.grad is not None:
                    parts[0].grad = other.grad if parts[0].grad is None else parts[0].grad.add_(other.grad)
                    other.grad = None
        return sum(losses)


def shares_of(step: Step, count: int) -> list[Step]:
    """Deal the queries of a step out to `count` shares; query i goes to share i modulo `count`."""
    candidates = step.targets.shape[1]
    return [
        Step(
            [
                pair
                for query in range(first, len(step.targets), count)
                for pair in step.pairs[query * candidates : (query + 1) * candidates]
            ],
            step.targets[first::count],
            None if step.guidance is None else step.guidance[first::count],
        )
        for first in range(min(count, len(step.targets)))
    ]


def _twin(network: Reranker) -> Reranker:
    twin = deepcopy(network)
    for own, shared in zip(twin.parameters(), network.parameters(), strict=True):
        own.data = shared.data
    return twin


def _backward(lane: Reranker, share: Step, loss: Loss, weight: float) -> float:
    value = loss(lane, share) * weight
    value.backward()  # type: ignore[no-untyped-call]
    return float(value.detach())
