"""A training run that can stop at any step and go on from its checkpoint as if it had not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from second_opinion.training.batches import Sampler, Step, blocks
from second_opinion.training.lanes import Lanes
from second_opinion.training.losses import combined_loss
from second_opinion.training.network import Reranker
from second_opinion.training.pool import Pool, Texts
from second_opinion.training.recipe import Recipe
from second_opinion.training.warm_start import warm_start

WARM_STEPS: Final = 100


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    pairs: int = 0
    loss: float = 0.0


class Run:
    """Trains one network on one pool.

    Args:
        network: Trained in place.
        pool: The train slice's queries.
        texts: What the pool's rows address.
        recipe: How to train.
        device: `cpu` or `cuda`.
        lanes: CPU threads that share each step.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a run is made of
        self, network: Reranker, pool: Pool, texts: Texts, recipe: Recipe, device: str = "cpu", lanes: int = 1
    ) -> None:
        self.network = network.to(device).train()
        self.recipe = recipe
        self.progress = Progress()
        self._device = device
        self._sampler = Sampler(pool, texts, recipe.sampling())
        for part in frozen_parts(network):
            part.requires_grad_(requires_grad=False)
        self._optimizer = torch.optim.AdamW(rate_groups(network, recipe), betas=(0.9, 0.98), fused=True)
        self._lanes = Lanes(network, lanes)
        self._full_rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._average = {name: value.detach().clone() for name, value in trainable(network).items()}

    def warm_up(self, texts: Texts) -> float:
        """Fit the reading of the evidence before the first step; returns the loss that is left."""
        table = torch.from_numpy(texts.rarity).to(self._device)
        with torch.no_grad():
            self.network.overlap.rarity.copy_(table)
        left = warm_start(self.network, self._sampler, WARM_STEPS, self.recipe)
        self._average = {name: value.detach().clone() for name, value in trainable(self.network).items()}
        return left

    def advance(self) -> float:
        """Take one step and return its loss."""
        step = self._sampler.step(self.progress.step)
        factor = self.recipe.factor(self.progress.step)
        for group, rate in zip(self._optimizer.param_groups, self._full_rates, strict=True):
            group["lr"] = rate * factor
        self._optimizer.zero_grad(set_to_none=True)
        seen = self._lanes.backward(step, self._loss)
        nn.utils.clip_grad_norm_(trainable(self.network).values(), 1.0)
        self._optimizer.step()
        self._follow()
        self.progress.step += 1
        self.progress.pairs += len(step.pairs)
        self.progress.loss = 0.98 * (self.progress.loss or seen) + 0.02 * seen
        return seen

    def _loss(self, network: Reranker, step: Step) -> Tensor:
        return combined_loss(self._logits(network, step), step, self.recipe)

    def _logits(self, network: Reranker, step: Step) -> Tensor:
        found, places = [], []
        with torch.autocast(self._device, dtype=torch.bfloat16):
            for block in blocks(step.pairs, self.recipe.max_length, self.recipe.tokens):
                given = [one.to(self._device) for one in (block.ids, block.mask, block.sides)]
                found.append(network(*given).squeeze(-1))
                places.append(torch.from_numpy(block.places))
        order = torch.argsort(torch.cat(places)).to(self._device)
        return torch.cat(found)[order].view(step.targets.shape).float()

    def _follow(self) -> None:
        keep = min(self.recipe.averaging, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            for name, value in trainable(self.network).items():
                self._average[name].lerp_(value, 1 - keep)

    def averaged(self) -> Reranker:
        """Return a copy of the network with the averaged weights."""
        copy = Reranker(self.network.shape).to(self._device)
        copy.load_state_dict({**self.network.state_dict(), **self._average})
        return copy.eval()

    def save(self, path: Path) -> None:
        """Write everything that resuming needs, whole or not at all."""
        part = path.with_suffix(".part")
        state = {
            "shape": self.network.shape.as_dict(),
            "recipe": self.recipe.model_dump(),
            "progress": vars(self.progress),
            "network": self.network.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
        }
        torch.save(state, part)
        part.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote; the recipe is this run's own, so that it may be improved on the way."""
        state = torch.load(path, map_location=self._device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self._average = state["average"]
        self._optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])


def train(run: Run, steps: int, path: Path, every: int, tell: Callable[[Progress], Any]) -> None:
    """Advance until `steps` are done, saving to `path` and telling the progress each `every` steps and at the end.

    With no steps at all what is saved is the start, which landing may mix with the trained weights.
    """
    if steps == 0:
        run.save(path)
    while run.progress.step < steps:
        run.advance()
        if run.progress.step % every == 0 or run.progress.step == steps:
            run.save(path)
            tell(run.progress)


def frozen_parts(network: Reranker) -> list[nn.Module]:
    """Return what no run changes: embeddings of words and places, and all that only layers which stay apart read."""
    frozen: list[nn.Module] = [network.words, network.positions]
    if network.shape.apart:
        frozen += [network.sides, network.norm, *list(network.layers)[: network.shape.apart]]
    return frozen


def trainable(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that training changes, by name."""
    return {name: value for name, value in network.named_parameters() if value.requires_grad}


def rate_groups(network: Reranker, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the trainable parameters in groups of equal learning rate and weight decay."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, value in trainable(network).items():
        rate = recipe.layer_rate
        if name.endswith("opening"):
            rate = recipe.opening_rate
        elif name.startswith("overlap"):
            rate = recipe.rarity_rate
        elif name.startswith("reading"):
            rate = recipe.reading_rate
        elif name.startswith(("correction", "token_weight")):
            rate = recipe.head_rate
        decay = recipe.weight_decay if value.ndim > 1 and not name.startswith("reading") else 0.0
        groups.setdefault((rate, decay), []).append(value)
    return [{"params": values, "lr": rate, "weight_decay": decay} for (rate, decay), values in groups.items()]
