"""What a run is made of, as one value that is stored with every checkpoint."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from second_opinion.training.batches import Sampling


class Recipe(BaseModel):
    """The choices of a run.

    Attributes:
        seed: Decides the order of queries and the draw of candidates.
        queries: Queries of one step.
        candidates: Candidates of each query in one step.
        titleless: Share of the queries whose passages are shown without their titles.
        max_length: Most tokens of a pair.
        layer_rate: Learning rate of the layers.
        head_rate: Learning rate of the correction and of the token weights.
        reading_rate: Learning rate of the weights of the evidence.
        opening_rate: Learning rate of the openings between the two texts.
        rarity_rate: Learning rate of the rarity of word pieces.
        warmup: Steps over which the rates rise from zero.
        decay_from: Step from which the rates fall, or none.
        decay_to: Step at which they have fallen to zero.
        order_weight: Weight of the order loss beside the pair loss.
        guide_weight: Weight of the guide loss beside the pair loss, where the pool has guidance.
        weight_decay: Of matrices; vectors have none.
        averaging: Share of the averaged weights that each step keeps.
        tokens: Padded places of one forward pass; raise it on a GPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    queries: int = Field(default=16, ge=1)
    candidates: int = Field(default=5, ge=2)
    titleless: float = Field(default=0.3, ge=0, le=1)
    max_length: int = Field(default=256, ge=16, le=512)
    layer_rate: float = 4e-5
    head_rate: float = 5e-4
    reading_rate: float = 5e-3
    opening_rate: float = 1e-2
    rarity_rate: float = 2e-3
    warmup: int = 100
    decay_from: int | None = None
    decay_to: int | None = None
    order_weight: float = 1.0
    guide_weight: float = 1.0
    weight_decay: float = 0.01
    averaging: float = Field(default=0.99, ge=0, lt=1)
    tokens: int = 4_096

    def sampling(self) -> Sampling:
        """Return the part that draws the steps."""
        return Sampling(self.seed, self.queries, self.candidates, 2, self.titleless, self.max_length)

    def factor(self, step: int) -> float:
        """Return the share of the full learning rates at `step`."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        if self.decay_from is None or self.decay_to is None or step < self.decay_from:
            return rise
        return rise * max(0.0, (self.decay_to - step) / max(1, self.decay_to - self.decay_from))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a recipe from JSON; what is left out has its default."""
        return cls.model_validate_json(text)
