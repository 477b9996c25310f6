"""What speaks for a pair beside the joint reading: numbers of the pair alone, the same in any batch."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

NO_MATCH: Final = -1.0
SATURATION: Final = 1.2
LENGTH_SHARE: Final = 0.75
MEAN_LENGTH: Final = 180.0


def mean_of(states: Tensor, mask: Tensor) -> Tensor:
    """Average the states [B, S, width] where `mask` [B, S] is 1. Returns [B, width]."""
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def best_matches(states: Tensor, of_query: Tensor, of_passage: Tensor, importance: Tensor) -> Tensor:
    """Average, over the query's tokens, the cosine with the most similar token of the passage.

    Args:
        states: [B, S, width].
        of_query: 1 where a token is the query's, [B, S].
        of_passage: 1 where a token is the passage's, [B, S].
        importance: Logits that weigh the query's tokens, [B, S].

    Returns:
        [B, 1] in [-1, 1].
    """
    units = functional.normalize(states, dim=-1)
    likeness = units @ units.transpose(1, 2)
    best = likeness.masked_fill(of_passage[:, None, :] == 0, NO_MATCH).amax(dim=-1)
    weights = torch.softmax(importance.masked_fill(of_query == 0, -1e4), dim=-1)
    return (best * weights).sum(dim=1, keepdim=True)


class WordOverlap(nn.Module):
    """BM25 over word pieces inside one pair, as a share of what the query could reach.

    The rarity of each piece is a table of the model, counted once over the training corpora, and not a figure of the
    index: the same pair has the same overlap everywhere.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.rarity = nn.Parameter(torch.ones(vocabulary))

    def forward(self, ids: Tensor, of_query: Tensor, of_passage: Tensor) -> Tensor:
        """Return [B, 2]: the weighted share of the query's pieces found, and the rarest piece that is missing."""
        rarity = self.rarity[ids].clamp(min=0.0) * of_query
        same = (ids[:, :, None] == ids[:, None, :]) & (of_passage[:, None, :] == 1)
        count = same.to(rarity.dtype).sum(dim=-1)
        length = of_passage.sum(dim=1, keepdim=True).to(rarity.dtype)
        damping = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / MEAN_LENGTH)
        found = count * (1 + SATURATION) / (count + damping)
        share = (rarity * found).sum(dim=1, keepdim=True) / rarity.sum(dim=1, keepdim=True).clamp(min=1e-6)
        missing = (rarity * (count == 0)).amax(dim=1, keepdim=True) / 10.0
        return torch.cat([share, missing], dim=1)
