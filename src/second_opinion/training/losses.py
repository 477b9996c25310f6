"""What training minimises: absolute relevance of each pair, and the order within each query's candidates."""

import torch
from torch import Tensor
from torch.nn import functional


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


def combined_loss(logits: Tensor, targets: Tensor, order_weight: float) -> Tensor:
    """Return the pair loss plus `order_weight` times the order loss."""
    return pair_loss(logits, targets) + order_weight * order_loss(logits, targets)
