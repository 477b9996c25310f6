"""The canary pairs: in our own words, scored when a calibration is fitted and whenever it is taken up again."""

import json
from importlib import resources
from typing import Final

from second_opinion.pipeline.ports import Reranker
from second_opinion.schemas.calibration import Canary

CANARIES: Final = "canaries.json"


def canary_pairs() -> list[tuple[str, str]]:
    """Return the pairs of query and passage that come with this package."""
    text = resources.files(__package__).joinpath(CANARIES).read_text(encoding="utf-8")
    return [(one["query"], one["passage"]) for one in json.loads(text)]


def score_canaries(reranker: Reranker) -> tuple[Canary, ...]:
    """Return the canary pairs as this reranker scores them here."""
    return tuple(
        Canary(query=query, passage=passage, raw_score=reranker.score(query, [passage])[0])
        for query, passage in canary_pairs()
    )
