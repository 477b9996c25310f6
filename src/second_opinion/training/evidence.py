"""What speaks for a pair beside the joint reading: numbers of the pair alone, the same in any batch."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

NO_MATCH: Final = -1.0
NEGLIGIBLE: Final = -1e4
RAREST: Final = 10.0
SATURATION: Final = 1.2
LENGTH_SHARE: Final = 0.75
MEAN_LENGTH: Final = 180.0


def mean_of(states: Tensor, mask: Tensor) -> Tensor:
    """Average the states [B, S, width] where `mask` [B, S] is 1. Returns [B, width]."""
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def best_matches(states: Tensor, of_query: Tensor, of_passage: Tensor) -> Tensor:
    """Return each token's cosine with the most similar token of the passage, [B, S]; 0 outside the query.

    Args:
        states: [B, S, width].
        of_query: 1 where a token is the query's, [B, S].
        of_passage: 1 where a token is the passage's, [B, S].
    """
    units = functional.normalize(states, dim=-1)
    likeness = units @ units.transpose(1, 2)
    best = likeness.masked_fill(of_passage[:, None, :] == 0, NO_MATCH).amax(dim=-1)
    return best * of_query


def matched_share(best: Tensor, importance: Tensor, of_query: Tensor) -> Tensor:
    """Average the matches [B, S] by the softmax of their `importance` [B, S]. Returns [B, 1]."""
    weights = torch.softmax(importance.masked_fill(of_query == 0, NEGLIGIBLE), dim=-1)
    return (best * weights).sum(dim=1, keepdim=True)


class WordOverlap(nn.Module):
    """BM25 over word pieces inside one pair, as a share of what the query could reach.

    The rarity of each piece is a table of the model, counted once over the training corpora, and not a figure of the
    index: the same pair has the same overlap everywhere.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.rarity = nn.Parameter(torch.ones(vocabulary))

    def forward(self, ids: Tensor, best: Tensor, of_query: Tensor, of_passage: Tensor) -> Tensor:
        """Return [B, 4] from ids and each query token's best match [B, S].

        In order: the share of the query's rarity that the passage's words cover, the rarest word that is missing, the
        average best match weighed by rarity, and the rarest meaning that is missing.
        """
        rarity = self.rarity[ids].clamp(min=0.0) * of_query
        total = rarity.sum(dim=1, keepdim=True).clamp(min=1e-6)
        same = (ids[:, :, None] == ids[:, None, :]) & (of_passage[:, None, :] == 1)
        count = same.to(rarity.dtype).sum(dim=-1)
        length = of_passage.sum(dim=1, keepdim=True).to(rarity.dtype)
        damping = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / MEAN_LENGTH)
        found = count * (1 + SATURATION) / (count + damping)
        share = (rarity * found).sum(dim=1, keepdim=True) / total
        missing = (rarity * (count == 0)).amax(dim=1, keepdim=True) / RAREST
        matched = (rarity * best).sum(dim=1, keepdim=True) / total
        unmatched = (rarity * (1 - best)).amax(dim=1, keepdim=True) / RAREST
        return torch.cat([share, missing, matched, unmatched], dim=1)
