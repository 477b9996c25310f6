"""Bad queries: each is refused with a code of its own and a sentence that says what to do."""

from typing import Any

import pytest

from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import QueryDefaults, QueryOverrides
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.query import MAX_QUERY_CHARACTERS, QueryRequest


@pytest.mark.parametrize(
    ("payload", "code", "words"),
    [
        ({"text": ""}, "empty_query", "empty"),
        ({"text": " \t\n\u00a0\u2003"}, "empty_query", "empty"),
        ({"text": "\x00\x00"}, "empty_query", "empty"),
        ({"text": "x" * 50_000}, "query_too_long", "50,000"),
        ({"text": "q", "floor": 1.01}, "invalid_query", "floor"),
        ({"text": "q", "floor": -0.01}, "invalid_query", "floor"),
        ({"text": "q", "floor": float("nan")}, "invalid_query", "floor"),
        ({"text": "q", "floor": "high"}, "invalid_query", "floor"),
        ({"text": "q", "top_k": 0}, "invalid_query", "top_k"),
        ({"text": "q", "top_k": 2.5}, "invalid_query", "top_k"),
        ({"text": "q", "candidates": 1_001}, "invalid_query", "candidates"),
        ({"text": "q", "chunks_per_document": 0}, "invalid_query", "chunks_per_document"),
        ({"text": "q", "bm25_weight": float("inf")}, "invalid_query", "bm25_weight"),
        ({"text": "q", "knn_weight": -1}, "invalid_query", "knn_weight"),
        ({"text": "q", "timeout_s": 0}, "invalid_query", "timeout_s"),
        ({"text": "q", "timeout_s": 86_400}, "invalid_query", "timeout_s"),
        ({"text": "q", "job_id": "a/b"}, "invalid_query", "job_id"),
        ({"text": "q", "collection": "Not A Name"}, "invalid_query", "collection"),
        ({"text": "q", "flor": 0.5}, "invalid_query", "flor: unknown field"),
        ({"text": None}, "invalid_query", "text"),
        ({"text": b"\xff\xfe"}, "invalid_query", "text"),
        ({}, "invalid_query", "text"),
        ({"text": "q", "filters": [{"op": "like", "field": "a"}]}, "invalid_query", "filters"),
        ({"text": "q", "filters": [{"field": "a", "values": ["x"]}]}, "invalid_query", "filters"),
        ({"text": "q", "filters": [{"op": "term", "field": "a", "values": []}]}, "invalid_query", "values"),
        ({"text": "q", "filters": [{"op": "term", "field": "a.b", "values": ["x"]}]}, "invalid_query", "field"),
        ({"text": "q", "filters": [{"op": "range", "field": "a"}]}, "invalid_query", "no bound"),
        ({"text": "q", "filters": [{"op": "range", "field": "a", "gt": 1, "lt": "z"}]}, "invalid_query", "mixes"),
        ({"text": "q", "filters": [{"op": "exists", "field": "a", "value": 1}]}, "invalid_query", "unknown field"),
    ],
)
def test_a_bad_query_is_refused(payload: dict[str, Any], code: str, words: str) -> None:
    """The code is for programs; the sentence names the field, and a hint says what to do."""
    with pytest.raises(OpinionError) as caught:
        parse_request(QueryRequest, payload)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.hint
    assert not caught.value.transient


@pytest.mark.parametrize(
    "text", ["מה המינון לילדים?", "كم حبة؟", "💊" * 20, "a" * MAX_QUERY_CHARACTERS, "nul \x00 inside", "lone \ud800"]
)
def test_an_unusual_query_is_taken(text: str) -> None:
    """Any script, emoji, the longest allowed, and what cannot be encoded is replaced instead of breaking a worker."""
    request = parse_request(QueryRequest, {"text": text})
    request.text.encode()
    assert "\x00" not in request.text


@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_both_ends_of_the_floor_are_choices_like_any_other(floor: float) -> None:
    """0.0 is not "unset": said by a query it wins over the collection, said by a collection over the settings."""
    collection = QueryOverrides(floor=0.7, top_k=5).over(QueryDefaults())
    assert parse_request(QueryRequest, {"text": "q", "floor": floor}).over(collection).floor == floor
    assert parse_request(QueryRequest, {"text": "q"}).over(collection) == collection
    assert QueryOverrides(floor=floor).over(QueryDefaults()).floor == floor
