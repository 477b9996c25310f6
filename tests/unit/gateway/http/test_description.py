"""The description of the API teaches by examples, and each of them is true."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from second_opinion.gateway.http.app import make_app
from second_opinion.workers.settings import Settings

DESCRIPTION: dict[str, Any] = make_app(Settings()).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
    if path.startswith("/v1") and path != "/v1/rerank"
}


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield body and successful answers: what it is, its media type, and its description."""
    for media_type, described in operation.get("requestBody", {}).get("content", {}).items():
        yield "body", media_type, described
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            for media_type, described in answer.get("content", {}).items():
                yield status, media_type, described


def examples(described: dict[str, Any]) -> list[Any]:
    """Return the examples of a body or an answer."""
    named = [one["value"] for one in described.get("examples", {}).values()]
    return [*named, *([described["example"]] if "example" in described else [])]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_and_answer_has_an_example_that_fits(name: str) -> None:
    """An example that the schema would refuse misleads whoever copies it."""
    for what, media_type, described in contents(OPERATIONS[name]):
        shown = examples(described) or _of_schema(described["schema"])
        assert shown, f"{what} {media_type} has no example"
        for example in events_in(shown[0]) if media_type == "text/event-stream" else shown:
            schema = {**described["schema"], "components": DESCRIPTION["components"]}
            jsonschema.Draft202012Validator(schema).validate(example)


def events_in(stream: str) -> list[dict[str, str]]:
    """Return the events of a stream: its schema describes one."""
    blocks = [block.splitlines() for block in stream.strip().split("\n\n")]
    return [dict(line.split(": ", 1) for line in block) for block in blocks]


def _of_schema(schema: dict[str, Any]) -> list[Any]:
    """Return examples that a schema has itself, or all of whose fields have one."""
    name = schema.get("$ref", "").rpartition("/")[2]
    found = DESCRIPTION["components"]["schemas"].get(name, schema)
    fields = {key: one.get("examples") for key, one in found.get("properties", {}).items()}
    if fields and all(fields.values()):
        return [{key: given[0] for key, given in fields.items()}]
    return list(found.get("examples", ()))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_error_has_one_form(name: str) -> None:
    """Errors are problems, and what may be wrong with any request is told for each."""
    responses = OPERATIONS[name]["responses"]
    errors = {status: answer for status, answer in responses.items() if status[0] in "45"}
    assert {"400", "401", "403", "413", "422", "429", "500", "503"} <= errors.keys()
    for answer in errors.values():
        assert answer["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_it_is_openapi_3_1() -> None:
    """Generators read the version first."""
    assert DESCRIPTION["openapi"].startswith("3.1")
    assert len(OPERATIONS) > 30
