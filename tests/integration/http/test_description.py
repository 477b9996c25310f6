"""What the description promises, the gateway keeps: requests made of it, whole and broken ones, to a real server."""

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from second_opinion.gateway.http import preferences
from tests.conftest import Servers
from tests.integration.http.conftest import serving, system_of

pytestmark = pytest.mark.stack

EXAMPLES: Final = 10
CHECKS: Final = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def described(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The description of a running gateway, in which the examples' collection, document and job are there."""
    with (
        pytest.MonkeyPatch.context() as patch,
        system_of(servers, tmp_path_factory.mktemp("described"), OPINION_GATEWAY_RERANK="lazy") as system,
        system.client() as client,
    ):
        patch.setattr(preferences, "LONGEST_WAIT", 0.2)  # no worker runs here, so every wait is in vain
        client.submit_document(id="refunds.md", collection="handbook", text="A manager approves refunds.")
        client.submit_query("who approves refunds?", collection="handbook", job_id="01JX4KQ6T2", timeout=3.0)
        time.sleep(3.0)  # until it is over: nobody is to follow it for longer
        with serving(system) as served:
            yield schemathesis.openapi.from_url(f"{served.url}/openapi.json")
            figures = httpx.get(f"{served.url}/metrics").text
    # What the server itself counted: that no worker runs is no failure of its own.
    assert 'status="200"' in figures
    assert 'status="500"' not in figures


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """Return a body of lines: as it is when it is text, else as one line of JSON."""
    return (
        value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
    )


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def tried(operation: Any, strategies: list[Any], data: st.DataObject) -> None:
    """Make one request and hold the answer against the description."""
    case = data.draw(st.one_of(strategies))
    case.call_and_validate(checks=CHECKS, timeout=30.0)


def test_no_request_breaks_it_and_every_answer_is_documented(described: Any) -> None:
    """No server error, no status, media type, header or body that the description does not have.

    Of each operation its own examples, then requests as the description allows them, then broken ones.
    """
    found, operations = [], [result.ok() for result in described.get_all_operations()]
    for operation in operations:
        kinds = [
            operation.get_strategies_from_examples(),
            [operation.as_strategy(GenerationMode.POSITIVE)],
            [operation.as_strategy(GenerationMode.NEGATIVE)],
        ]
        for strategies in filter(None, kinds):
            try:
                tried(operation, strategies)
            except (AssertionError, FailureGroup) as problem:
                found.append(f"{operation.label}: {told(problem)}")
            except Unsatisfiable:
                continue  # there is no broken request for an operation that takes nothing
    assert len(operations) > 30
    assert not found, "\n\n".join(found)


def told(problem: BaseException) -> str:
    """Return what is wrong, with the request that shows it."""
    inner = getattr(problem, "exceptions", ())
    return "\n".join(str(one) for one in inner) if inner else str(problem)
