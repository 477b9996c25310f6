"""Where errors of the Elasticsearch driver become errors of ours: the only place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from elastic_transport import ApiError, SerializationError, TlsError, TransportError
from elasticsearch import UnsupportedProductError
from elasticsearch.helpers import BulkIndexError, ScanError

from second_opinion.schemas.errors import (
    DocumentTooLarge,
    IndexMismatch,
    InternalError,
    OpinionError,
    StoreUnavailable,
    UnknownCollection,
    WriteConflict,
)

WAIT_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
DRIVER_ERRORS: Final = (ApiError, TransportError, BulkIndexError, ScanError)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn every error of the driver into one of ours.

    Raises:
        StoreUnavailable: If Elasticsearch does not answer, asks to wait or does not let us in.
        WriteConflict: If somebody else was first.
        UnknownCollection: If the index is gone.
        InternalError: If Elasticsearch refuses what we sent.
    """
    try:
        yield
    except DRIVER_ERRORS as problem:
        raise translated(problem) from problem


def translated(problem: Exception) -> OpinionError:
    """Return our error for one of the driver's."""
    if isinstance(problem, UnsupportedProductError):
        return StoreUnavailable(
            "the server at this URL is no Elasticsearch", hint="Set OPINION_ELASTICSEARCH_URL to an Elasticsearch 8.19."
        )
    if isinstance(problem, ApiError):
        return from_status(problem.meta.status, cause(problem.body))
    if isinstance(problem, SerializationError):
        return InternalError(f"Elasticsearch's answer cannot be read: {problem}")
    if isinstance(problem, TlsError):
        return StoreUnavailable(
            f"the TLS connection to Elasticsearch failed: {problem}",
            hint="Set OPINION_ELASTICSEARCH_CA_CERTS to the CA file of the cluster.",
        )
    if isinstance(problem, TransportError):
        return StoreUnavailable(f"Elasticsearch does not answer: {problem}")
    return InternalError(f"Elasticsearch: {problem}")


def from_status(status: int, reason: str) -> OpinionError:
    """Return our error for the status of a request or of one item of a bulk or multi-search."""
    if status in WAIT_STATUSES:
        return StoreUnavailable(f"Elasticsearch asks to wait: {reason}")
    if status in {401, 403}:
        return StoreUnavailable(
            f"Elasticsearch does not let us in: {reason}",
            hint="Check OPINION_ELASTICSEARCH_USERNAME and OPINION_ELASTICSEARCH_PASSWORD, or the API key.",
        )
    if "number of dimensions" in reason:
        return IndexMismatch(f"the vectors do not fit the index: {reason}")
    known, sentence = _BY_STATUS.get(status, (InternalError, f"Elasticsearch refuses what was sent ({status})"))
    return known(f"{sentence}: {reason}")


_BY_STATUS: Final[dict[int, tuple[type[OpinionError], str]]] = {
    404: (UnknownCollection, "the index is gone"),
    409: (WriteConflict, "somebody else was first"),
    413: (DocumentTooLarge, "Elasticsearch takes no request of this size"),
}


def cause(body: Any) -> str:
    """Return the most telling reason in an error's body."""
    if not isinstance(body, Mapping):
        return str(body)[:500]
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        return str(error)[:500]
    for shard in error.get("failed_shards", ())[:1]:
        return cause(shard.get("reason", {}))
    inner = error.get("caused_by")
    reason = str(error.get("reason") or error.get("type") or error)
    return f"{reason}: {cause(inner)}" if isinstance(inner, Mapping) else reason[:500]


def kind(body: Any) -> str:
    """Return the type that Elasticsearch gives an error, such as `resource_already_exists_exception`."""
    error = body.get("error", body) if isinstance(body, Mapping) else {}
    return str(error.get("type", "")) if isinstance(error, Mapping) else ""
