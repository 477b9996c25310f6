"""Fits how the untrained network reads its evidence, so that gradient descent starts from the best linear mix.

Six weights and a bias on a few thousand pairs: a minute that saves the hours in which small steps would find them.
"""

from typing import Final

import torch
from torch import Tensor

from second_opinion.training.batches import Sampler, Step, blocks
from second_opinion.training.losses import combined_loss
from second_opinion.training.network import Reranker
from second_opinion.training.recipe import Recipe

_ROUNDS: Final = 200


def warm_start(network: Reranker, sampler: Sampler, steps: int, recipe: Recipe) -> float:
    """Set `network.reading` to what explains the first `steps` steps best, and return the loss that is left."""
    seen = [sampler.step(number) for number in range(steps)]
    evidence = torch.cat([_evidence(network, one, recipe.max_length, recipe.tokens) for one in seen])
    together = Step([], *(torch.cat(parts) for parts in zip(*map(_answers, seen), strict=True)))
    weight = network.reading.weight.detach().cpu().clone().requires_grad_()
    bias = network.reading.bias.detach().cpu().clone().requires_grad_()
    descent = torch.optim.LBFGS([weight, bias], max_iter=_ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        descent.zero_grad()
        found = combined_loss((evidence @ weight.T + bias).squeeze(-1), together, recipe)
        found.backward()  # type: ignore[no-untyped-call]
        return found

    descent.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        network.reading.weight.copy_(weight)
        network.reading.bias.copy_(bias)
    return float(loss().detach())


def _answers(step: Step) -> tuple[Tensor, ...]:
    return (step.targets,) if step.guidance is None else (step.targets, step.guidance)


def _evidence(network: Reranker, step: Step, max_length: int, tokens: int) -> Tensor:
    """Return the evidence of each pair of a step, [queries, candidates, 6]."""
    device = network.reading.weight.device
    found = torch.zeros(len(step.pairs), network.reading.in_features)
    for block in blocks(step.pairs, max_length, tokens):
        ids, mask, sides = (one.to(device) for one in (block.ids, block.mask, block.sides))
        with torch.inference_mode():
            with torch.autocast(device.type, dtype=torch.bfloat16):
                states = network.states(ids, mask, sides)
            rows = network.evidence(states.float(), ids, mask * (1 - sides), mask * sides)
        found[torch.from_numpy(block.places)] = rows.cpu()
    return found.view(*step.targets.shape, -1)
