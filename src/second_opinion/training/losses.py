"""What training minimises: absolute relevance of each pair, and the order within each query's candidates."""

import torch
from torch import Tensor
from torch.nn import functional

from second_opinion.training.batches import Step
from second_opinion.training.recipe import Recipe


def pair_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of logits [Q, C] against targets in [0, 1]: keeps a logit comparable across queries."""
    return functional.binary_cross_entropy_with_logits(logits, targets)


def order_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the candidates' softmax against their normalised targets, where a query has a relevant one."""
    total = targets.sum(dim=1)
    has_relevant = total > 0
    if not bool(has_relevant.any()):
        return logits.sum() * 0.0
    wanted = targets[has_relevant] / total[has_relevant].unsqueeze(1)
    return -(wanted * torch.log_softmax(logits[has_relevant], dim=1)).sum(dim=1).mean()


def guide_loss(logits: Tensor, guidance: Tensor) -> Tensor:
    """Cross-entropy of the candidates' softmax against the guide's, both [Q, C].

    Judgements of a data set are few and of its own kind of question. What a guide thinks of all candidates keeps
    the order sensible where nobody judged (listwise distillation: Cao et al., "Learning to rank", 2007).
    """
    return -(torch.softmax(guidance, dim=1) * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()


def combined_loss(logits: Tensor, step: Step, recipe: Recipe) -> Tensor:
    """Return the pair loss plus the weighted order loss and, where the step has guidance, the weighted guide loss."""
    targets = step.targets.to(logits.device)
    loss = pair_loss(logits, targets) + recipe.order_weight * order_loss(logits, targets)
    if step.guidance is None or not recipe.guide_weight:
        return loss
    return loss + recipe.guide_weight * guide_loss(logits, step.guidance.to(logits.device))
