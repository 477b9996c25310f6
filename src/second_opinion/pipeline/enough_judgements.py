"""How much has to be judged before anything is concluded from it."""

from collections.abc import Sequence
from typing import Final

from second_opinion.pipeline.resampling import Booleans
from second_opinion.schemas.errors import NotEnoughJudgements

LEAST_PAIRS: Final = 50


def require_pairs(pairs: int, found: str) -> None:
    """Refuse to work with next to nothing.

    Args:
        pairs: How many pairs are judged.
        found: The same in words, for the sentence.

    Raises:
        NotEnoughJudgements: If there are fewer than 50.
    """
    if pairs < LEAST_PAIRS:
        raise NotEnoughJudgements(f"{found}; {LEAST_PAIRS} are needed")


def require_both_kinds(relevant: Sequence[bool] | Booleans) -> None:
    """Refuse judgements that are all alike.

    Raises:
        NotEnoughJudgements: If all are relevant, or all irrelevant.
    """
    pairs, positives = len(relevant), int(sum(relevant))
    if positives in {0, pairs}:
        kind, missing = ("relevant", "irrelevant") if positives else ("irrelevant", "relevant")
        raise NotEnoughJudgements(
            f"all {pairs} judged pairs are {kind}: nothing can be told apart",
            hint=f"Judge {missing} ones too: opinion judge JOB CHUNK {missing}",
        )
