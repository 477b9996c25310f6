"""Every error of the Elasticsearch driver becomes one of ours, in one place."""

import inspect
from types import ModuleType

import elastic_transport
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import exceptions
from elasticsearch.helpers import errors as helper_errors

from second_opinion.pipeline.adapters.elasticsearch.errors import cause, from_status, store_errors
from second_opinion.schemas.errors import (
    DocumentTooLarge,
    IndexMismatch,
    InternalError,
    OpinionError,
    StoreUnavailable,
    UnknownCollection,
    WriteConflict,
)

DRIVER_MODULES: tuple[ModuleType, ...] = (elastic_transport, exceptions, helper_errors)


def driver_errors() -> list[type[Exception]]:
    """Return every exception class that the driver's modules hold, warnings left out."""
    found = {
        one
        for module in DRIVER_MODULES
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, Exception) and not issubclass(one, Warning)
    }
    return sorted(found, key=lambda one: f"{one.__module__}.{one.__name__}")


def an_error(kind: type[Exception], status: int = 418) -> Exception:
    """Return an instance of a driver's error."""
    if issubclass(kind, elastic_transport.ApiError):
        meta = ApiResponseMeta(
            status=status,
            http_version="1.1",
            headers=HttpHeaders(),
            duration=0.1,
            node=NodeConfig("http", "localhost", 9200),
        )
        return kind("message", meta, {"error": {"reason": "because", "root_cause": [{"type": "x"}], "type": "x"}})
    if kind.__name__ == "BulkIndexError":
        return kind("message", [])
    if kind.__name__ == "ScanError":
        return kind("scroll", "message")
    return kind("message")


def test_the_driver_has_errors() -> None:
    """The list that the next test walks through is the real one."""
    assert {"ConnectionTimeout", "NotFoundError", "TlsError", "UnsupportedProductError"} <= {
        one.__name__ for one in driver_errors()
    }


@pytest.mark.parametrize("kind", driver_errors(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_error_of_the_driver_gets_through(kind: type[Exception]) -> None:
    """Whatever the driver raises leaves as one of our errors, with the driver's as its cause and a hint."""
    with pytest.raises(OpinionError) as seen, store_errors():
        raise an_error(kind)
    assert isinstance(seen.value.__cause__, kind)
    assert seen.value.hint


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InternalError),
        (401, StoreUnavailable),
        (403, StoreUnavailable),
        (404, UnknownCollection),
        (408, StoreUnavailable),
        (409, WriteConflict),
        (413, DocumentTooLarge),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
def test_a_status_has_one_meaning(status: int, expected: type[OpinionError]) -> None:
    """A status means the same for a request and for an item of a bulk or multi-search."""
    assert type(from_status(status, "because")) is expected
    with pytest.raises(expected), store_errors():
        raise an_error(exceptions.ApiError, status)


@pytest.mark.parametrize(
    "kind", [elastic_transport.ConnectionError, elastic_transport.ConnectionTimeout, elastic_transport.TlsError]
)
def test_an_unreachable_server_may_come_back(kind: type[Exception]) -> None:
    """Connection trouble is transient."""
    with pytest.raises(StoreUnavailable) as seen, store_errors():
        raise an_error(kind)
    assert seen.value.transient


def test_vectors_of_another_length_are_a_mismatch() -> None:
    """The server's complaint about dimensions is told as what it is."""
    assert type(from_status(400, "has a different number of dimensions [3] than ...")) is IndexMismatch


def test_errors_of_ours_pass_through_unchanged() -> None:
    """What is ours already is left alone, and so is what is nobody's."""
    with pytest.raises(WriteConflict), store_errors():
        raise WriteConflict("mine")
    with pytest.raises(KeyError), store_errors():
        raise KeyError("nobody's")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"reason": "outer", "caused_by": {"reason": "inner"}}}, "outer: inner"),
        ({"error": {"reason": "all failed", "failed_shards": [{"reason": {"reason": "shard"}}]}}, "shard"),
        ({"error": "plain"}, "plain"),
        ("<html>", "<html>"),
        (None, "None"),
    ],
)
def test_the_most_telling_reason_is_found(body: object, reason: str) -> None:
    """The reason is looked for where Elasticsearch puts it, in any kind of body."""
    assert cause(body) == reason
