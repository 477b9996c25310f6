"""Messages name things that a store can be asked for; what cannot is refused when it is read, and asks nobody."""

from typing import Any

import pytest
from pydantic import ValidationError

from second_opinion.schemas.base import Versioned
from second_opinion.schemas.messages import ExtractDocument, IndexDocuments, RerankCandidates, RunQuery

IDS = ["", "\ud800", "x" * 513]


@pytest.mark.parametrize("name", IDS, ids=["empty", "surrogate", "long"])
@pytest.mark.parametrize(
    ("model", "payload"),
    [
        (RunQuery, lambda name: {"job_id": name}),
        (RerankCandidates, lambda name: {"job_id": name}),
        (ExtractDocument, lambda name: {"document": {"key": name, "target": "g"}}),
        (IndexDocuments, lambda name: {"documents": [{"key": "k", "target": name}]}),
    ],
)
def test_an_id_that_cannot_be_asked_for_is_refused(model: type[Versioned], payload: Any, name: str) -> None:
    """An empty one, one that UTF-8 cannot write, and one without end."""
    assert model.model_validate(payload("fine"))
    with pytest.raises(ValidationError):
        model.model_validate(payload(name))
