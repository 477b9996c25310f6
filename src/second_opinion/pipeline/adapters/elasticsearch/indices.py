"""Index names, mappings and settings: what Elasticsearch keeps and how.

The `contents`, `documents` and `collections` indices map only what is searched for; everything else is carried along in
`_source`. Mappings only ever grow, so that workers of two releases can share them.
"""

from dataclasses import dataclass
from typing import Any, Final

from second_opinion.schemas.collection import IndexFingerprint

MAX_METADATA_FIELDS: Final = 500
KEYWORD: Final = {"type": "keyword"}
DOUBLE: Final = {"type": "double"}
INTEGER: Final = {"type": "integer"}

SYSTEM_SETTINGS: Final[dict[str, Any]] = {"number_of_shards": 1, "auto_expand_replicas": "0-1"}

BULK_LOAD_SETTINGS: Final[dict[str, str | None]] = {
    "index.refresh_interval": "-1",
    "index.auto_expand_replicas": "false",
    "index.number_of_replicas": "0",
}
"""Of a chunk index that is being filled. A lost node then loses chunks, but no document: contents keep replicas."""

DOCUMENT_FIELDS: Final[dict[str, Any]] = {
    "key": KEYWORD,
    "collection": KEYWORD,
    "document_id": KEYWORD,
    "target": KEYWORD,
    "state": KEYWORD,
    "committed_in": KEYWORD,
    "lease_until": DOUBLE,
    "not_before": DOUBLE,
    "enqueued_at": DOUBLE,
    "accepted_at": DOUBLE,
    "updated_at": DOUBLE,
}
CONTENT_FIELDS: Final[dict[str, Any]] = {
    "storage_id": KEYWORD,
    "key": KEYWORD,
    "target": KEYWORD,
    "collection": KEYWORD,
    "written_at": DOUBLE,
}
COLLECTION_FIELDS: Final[dict[str, Any]] = {"name": KEYWORD}
# `shown.1` is the highest relevance of what a floor of 0.0 would show, `shown.2` the next, and so on up to the largest
# top_k: aggregations over one field with many values would count traces, not values.
TRACE_FIELDS: Final[dict[str, Any]] = {
    "job_id": KEYWORD,
    "collection": KEYWORD,
    "at": DOUBLE,
    "query_hash": KEYWORD,
    "scorer": KEYWORD,
    "outcome": KEYWORD,
    "floor": DOUBLE,
    "best_relevance": DOUBLE,
    "shown": {"properties": {str(place): DOUBLE for place in range(1, 101)}},
    "kept": INTEGER,
    "candidate_count": INTEGER,
    "shown_count": INTEGER,
}
CALIBRATION_FIELDS: Final[dict[str, Any]] = {"id": KEYWORD}
RERANKER_FIELDS: Final[dict[str, Any]] = {"published_at": DOUBLE}
API_KEY_FIELDS: Final[dict[str, Any]] = {"id": KEYWORD, "created_at": DOUBLE}
WEBHOOK_FIELDS: Final[dict[str, Any]] = {"created_at": DOUBLE}
DELIVERY_FIELDS: Final[dict[str, Any]] = {
    "webhook_id": KEYWORD,
    "state": KEYWORD,
    "not_before": DOUBLE,
    "created_at": DOUBLE,
}
JUDGEMENT_FIELDS: Final[dict[str, Any]] = {"key": KEYWORD, "collection": KEYWORD, "judged_at": DOUBLE}

VECTOR_OPTIONS: Final[dict[str, Any]] = {"type": "int8_hnsw", "m": 16, "ef_construction": 100}


@dataclass(frozen=True, slots=True)
class IndexNames:
    """The names of all indices of one system."""

    prefix: str

    @property
    def documents(self) -> str:
        """Records of documents."""
        return f"{self.prefix}-documents"

    @property
    def contents(self) -> str:
        """What was sent, and texts extracted from it."""
        return f"{self.prefix}-contents"

    @property
    def collections(self) -> str:
        """Collections and their choices."""
        return f"{self.prefix}-collections"

    @property
    def judgements(self) -> str:
        """What people say of passages."""
        return f"{self.prefix}-judgements"

    @property
    def calibrations(self) -> str:
        """Calibrations of collections, by id."""
        return f"{self.prefix}-calibrations"

    @property
    def rerankers(self) -> str:
        """What rerank workers say of their models."""
        return f"{self.prefix}-rerankers"

    @property
    def api_keys(self) -> str:
        """API keys, with hashes of their secrets."""
        return f"{self.prefix}-api-keys"

    @property
    def webhooks(self) -> str:
        """Addresses that are told when queries end, with the secrets that sign it."""
        return f"{self.prefix}-webhooks"

    @property
    def webhook_outbox(self) -> str:
        """What webhooks are still to be told."""
        return f"{self.prefix}-webhook-outbox"

    @property
    def traces(self) -> str:
        """First part of the names of all trace indices; each holds the traces of some days."""
        return f"{self.prefix}-traces"

    def chunks(self, collection: str, generation: int = 1) -> str:
        """The physical chunk index of a collection; each reindex makes a new generation."""
        return f"{self.prefix}-chunks-{collection}-{generation:06d}"


def write_alias(index: str) -> str:
    """Return the alias that chunks are written through: a write to an index that is gone then fails, as it should."""
    return f"{index}-write"


def system_mappings(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the mappings of an index that is mostly carried along."""
    return {"dynamic": False, "properties": fields}


def trace_mappings() -> dict[str, Any]:
    """Return the mappings of a trace index; what is only there to be counted is not stored a second time."""
    return {**system_mappings(TRACE_FIELDS), "_source": {"excludes": ["shown"]}}


def chunk_settings() -> dict[str, Any]:
    """Return the settings of a chunk index.

    Commits refresh by themselves. The slow refresh only lets deleted chunks vanish from the lists of an index that is
    otherwise at rest. The limit on fields is a second guard behind the registry's own count.
    """
    return {
        **SYSTEM_SETTINGS,
        "refresh_interval": "5s",
        "mapping": {"total_fields": {"limit": MAX_METADATA_FIELDS + 50}},
    }


def chunk_mappings(fingerprint: IndexFingerprint) -> dict[str, Any]:
    """Return the mappings of a chunk index made by these models.

    BM25 reads `passage` alone: title, headings and text as one analysed field, which is what the two models read as
    well. Metadata is strict: a field that nobody registered could not be filtered on, so it is refused.
    """
    searched = {"type": "text", "index": False, "copy_to": "passage"}
    return {
        "dynamic": False,
        "_meta": {"fingerprint": fingerprint.model_dump(mode="json")},
        "_source": {"excludes": ["vector", "embedding", "embedding_key"]},
        "properties": {
            "key": KEYWORD,
            "write_set": KEYWORD,
            "document_id": KEYWORD,
            "ordinal": INTEGER,
            "count": INTEGER,
            "written_at": DOUBLE,
            "title": searched,
            "headings": searched,
            "text": searched,
            "passage": {"type": "text", "analyzer": fingerprint.analyzer},
            "metadata": {"type": "object", "dynamic": "strict", "properties": {}},
            "embedding_key": KEYWORD,
            "embedding": {"type": "binary", "doc_values": True},
            "vector": {
                "type": "dense_vector",
                "dims": fingerprint.dims,
                "index": True,
                "similarity": "cosine",
                "index_options": VECTOR_OPTIONS,
            },
        },
    }
