"""The reranker's network: a cross-encoder that starts out knowing what a bi-encoder knows.

A query and a passage are read together, `[CLS] query [SEP] [CLS] passage [SEP]`, by the bi-encoder's own layers. Every
head of every layer has an *opening*: a learned number added to its attention between the two texts. Far below zero the
two are read apart, and the mean-pooled states are exactly the bi-encoder's vectors; training opens what helps. The
lowest layers may stay apart for good: what a word means there depends little on the other text (MacAvaney et al.,
"Efficient document re-ranking for transformers by precomputing term representations", 2020). The
logit is a linear reading of the evidence (cosine, best token matches, words in common) plus a correction from the joint
states, which starts at zero: the untrained network already ranks like hybrid retrieval.
"""

from dataclasses import asdict, dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from second_opinion.training.evidence import WordOverlap, best_matches, matched_share, mean_of

NEVER: Final = -1e4
"""Added to the attention towards padding: its exponential is zero in every dtype used here."""
FIRST_WEIGHTS: Final = (10.0, 3.0, 2.0, 0.0, 0.0, 0.0)
FIRST_BIAS: Final = -8.0
SHUT: Final = -30.0
"""An opening through which nothing comes."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. The defaults are those of all-MiniLM-L6-v2.

    Attributes:
        opening: Where the openings start.
        apart: How many of the lowest layers read the two texts apart, exactly as the bi-encoder, and never learn.
    """

    vocabulary: int = 30_522
    width: int = 384
    layers: int = 6
    heads: int = 12
    inner: int = 1_536
    positions: int = 512
    opening: float = -3.0
    apart: int = 0

    def as_dict(self) -> dict[str, float]:
        """Return the sizes by name."""
        return asdict(self)


class Layer(nn.Module):
    """One transformer layer of BERT's kind whose heads know which tokens belong to the other text."""

    def __init__(self, shape: Shape, opening: float) -> None:
        super().__init__()
        self.heads = shape.heads
        self.scale = (shape.width // shape.heads) ** -0.5
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.mix = nn.Linear(shape.width, shape.width)
        self.mix_norm = nn.LayerNorm(shape.width, eps=1e-12)
        self.up = nn.Linear(shape.width, shape.inner)
        self.down = nn.Linear(shape.inner, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=1e-12)
        self.opening = nn.Parameter(torch.full((shape.heads,), opening))

    def attend(self, states: Tensor, padding: Tensor, across: Tensor) -> Tensor:
        """Attend within and across the texts: `padding` [B, 1, 1, S], `across` [B, 1, S, S]; returns [B, S, width]."""
        batch, length, width = states.shape
        parts = self.qkv(states).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0] * self.scale, parts[1], parts[2]
        # Softmax in fp32 would triple the step's time on a CPU; in bf16 the difference drowns in that of the products.
        with torch.autocast(states.device.type, enabled=False):
            bias = across * self.opening.to(query.dtype).view(1, -1, 1, 1) + padding.to(query.dtype)
            weights = torch.softmax(query @ key.transpose(-1, -2) + bias, dim=-1)
            mixed = weights @ value
        joined: Tensor = mixed.transpose(1, 2).reshape(batch, length, width)
        return joined

    def forward(self, states: Tensor, padding: Tensor, across: Tensor) -> Tensor:
        """Return the next states [B, S, width]."""
        states = self.mix_norm(states + self.mix(self.attend(states, padding, across)))
        after: Tensor = self.norm(states + self.down(functional.gelu(self.up(states))))
        return after


class Reranker(nn.Module):
    """Reads pairs of token ids and returns one logit each."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width)
        self.sides = nn.Embedding(2, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=1e-12)
        self.layers = nn.ModuleList(
            Layer(shape, SHUT if number < shape.apart else shape.opening) for number in range(shape.layers)
        )
        self.overlap = WordOverlap(shape.vocabulary)
        self.token_weight = nn.Linear(shape.width, 1)
        self.correction = nn.Sequential(nn.Linear(4 * shape.width, shape.width), nn.GELU(), nn.Linear(shape.width, 1))
        self.reading = nn.Linear(len(FIRST_WEIGHTS), 1)
        self._start_as_retrieval()

    def _start_as_retrieval(self) -> None:
        with torch.no_grad():
            for part in (self.correction[2], self.token_weight):
                for tensor in part.parameters():
                    tensor.zero_()
            self.reading.weight.copy_(torch.tensor([FIRST_WEIGHTS]))
            self.reading.bias.fill_(FIRST_BIAS)

    def embed(self, ids: Tensor, sides: Tensor) -> Tensor:
        """Look up words, sides and positions; each text counts its positions from 0. Returns [B, S, width]."""
        columns = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        first = (torch.cumsum(sides, dim=1) == 0).long().sum(dim=1, keepdim=True)
        places = columns - sides * first
        found: Tensor = self.norm(self.words(ids) + self.positions(places) + self.sides(sides))
        return found

    def states(self, ids: Tensor, mask: Tensor, sides: Tensor) -> Tensor:
        """Read the two texts together. Returns the last states [B, S, width]."""
        states = self.embed(ids, sides)
        padding = (1.0 - mask.to(states.dtype))[:, None, None, :] * NEVER
        across = (sides[:, :, None] != sides[:, None, :])[:, None].to(states.dtype)
        if torch.is_autocast_enabled(states.device.type):
            across = across.to(torch.get_autocast_dtype(states.device.type))
        for layer in self.layers:
            states = layer(states, padding, across)
        return states

    def vectors(self, ids: Tensor, mask: Tensor, pooling: Literal["mean", "first"] = "mean") -> Tensor:
        """Embed single texts as the bi-encoder does. Returns unit vectors [B, width]."""
        states = self.states(ids, mask, torch.zeros_like(ids))
        return functional.normalize(mean_of(states, mask) if pooling == "mean" else states[:, 0], dim=-1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Score pairs. All three are int64 [B, S], sides 0 = query and 1 = passage. Returns logits [B, 1]."""
        states = self.states(input_ids, attention_mask, token_type_ids)
        # Half precision would leave the logit eight bits: too few to rank by.
        with torch.autocast(states.device.type, enabled=False):
            return self.judge(states.float(), input_ids, attention_mask, token_type_ids)

    def judge(self, states: Tensor, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Weigh the evidence in the last states [B, S, width]. Returns logits [B, 1]."""
        of_query = attention_mask * (1 - token_type_ids)
        of_passage = attention_mask * token_type_ids
        query, passage = mean_of(states, of_query), mean_of(states, of_passage)
        joint = torch.cat([states[:, 0], query * passage, (query - passage).abs(), query], dim=1)
        logit: Tensor = self.reading(self.evidence(states, input_ids, of_query, of_passage)) + self.correction(joint)
        return logit

    def evidence(self, states: Tensor, input_ids: Tensor, of_query: Tensor, of_passage: Tensor) -> Tensor:
        """Return cosine, average best match, and what `WordOverlap` finds, [B, 6]."""
        query, passage = mean_of(states, of_query), mean_of(states, of_passage)
        cosine = functional.cosine_similarity(query, passage).unsqueeze(1)
        best = best_matches(states, of_query, of_passage)
        matched = matched_share(best, self.token_weight(states).squeeze(-1), of_query)
        return torch.cat([cosine, matched, self.overlap(input_ids, best, of_query, of_passage)], dim=1)
