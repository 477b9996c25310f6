"""Chunks in Elasticsearch: written through an alias, searched, deleted by their known ids."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk, to_json
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.documents import NOT_FOUND
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import write_alias
from second_opinion.pipeline.adapters.elasticsearch.reading import multi_get
from second_opinion.pipeline.adapters.elasticsearch.search import chunk_hit, parse_hits, search_lines
from second_opinion.pipeline.ports import SearchHits, SearchRequest, Vectors, WrittenSet
from second_opinion.schemas.chunk import ChunkHit, IndexedChunk
from second_opinion.schemas.errors import ErrorInfo, StoreUnavailable, UnknownCollection

KEYS_AT_ONCE: Final = 512
PACKED: Final = "<f4"
UNREGISTERED: Final = "dynamic introduction"
REFRESH_SECONDS: Final = 60.0
"""A refresh may have to finish the graphs of many vectors; it is still bounded."""


class ElasticsearchChunks:
    """Implements `pipeline.ports.ChunkIndex`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, index: str, chunks: Sequence[IndexedChunk]) -> list[ErrorInfo | None]:
        """Write chunks; return an error or None for each."""
        actions = [Action("index", {"_id": chunk.chunk_id}, to_json(_body(chunk))) for chunk in chunks]
        outcomes = run_bulk(self._connection, write_alias(index), actions, require_alias=True) if actions else []
        infos: list[ErrorInfo | None] = []
        for outcome in outcomes:
            error = outcome.error
            if error is not None and UNREGISTERED in outcome.reason:
                error = StoreUnavailable("the collection lost its metadata fields; they are registered anew")
            infos.append(None if error is None else error.info())
        return infos

    def refresh(self, index: str) -> None:
        """Make what was written visible to searches on every shard.

        Raises:
            StoreUnavailable: If one shard failed; nothing may then be committed.
        """
        patient = self._connection.writes.options(request_timeout=REFRESH_SECONDS)
        with store_errors():
            answer = patient.indices.refresh(index=index)
        if answer["_shards"]["failed"]:
            raise StoreUnavailable(f"{answer['_shards']['failed']} shards of {index} were not refreshed")

    def delete(self, index: str, chunk_ids: Sequence[str]) -> None:
        """Remove chunks by id; missing ones are no error, nor is an index that is gone."""
        actions = [Action("delete", {"_id": chunk_id}) for chunk_id in chunk_ids]
        outcomes = run_bulk(self._connection, write_alias(index), actions, require_alias=True) if actions else []
        for outcome in outcomes:
            if outcome.error is not None and outcome.status != NOT_FOUND:
                raise outcome.error

    def search(self, request: SearchRequest) -> SearchHits:
        """Search both lists with the same filters, in one round trip."""
        lines = search_lines(request)
        if not lines:
            return SearchHits(bm25=(), knn=(), bm25_full=False, knn_full=False)
        with store_errors():
            answer = self._connection.reads.msearch(searches=lines)
        return parse_hits(request, answer["responses"])

    def get(self, index: str, chunk_ids: Sequence[str]) -> dict[str, ChunkHit]:
        """Return chunks by id."""
        return {item["_id"]: chunk_hit(item) for item in multi_get(self._connection, index, chunk_ids)}

    def embeddings(self, index: str, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return the vectors that were written under these `embedding_key`s and are visible, each of shape (dims,)."""
        found: dict[str, Vectors] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            wanted = list(keys[start : start + KEYS_AT_ONCE])
            with store_errors():
                answer = self._connection.reads.search(
                    index=index,
                    size=len(wanted),
                    query={"bool": {"filter": {"terms": {"embedding_key": wanted}}}},
                    # Many chunks may have one text: one of each is enough, and as many as `size` must not be of one.
                    collapse={"field": "embedding_key"},
                    source=False,
                    docvalue_fields=[{"field": "embedding_key"}, {"field": "embedding"}],
                    track_total_hits=False,
                )
            rows = [hit["fields"] for hit in answer["hits"]["hits"]]
            found |= {row["embedding_key"][0]: _unpacked(row["embedding"][0]) for row in rows if "embedding" in row}
        return found

    def count(self, index: str) -> int:
        """Return how many chunks the index holds, committed or not; refreshes first."""
        self.refresh(index)
        with store_errors():
            return int(self._connection.reads.count(index=index)["count"])

    def write_sets(self, index: str, *, before: float, limit: int, after: str | None = None) -> list[WrittenSet]:
        """Return sets written before a moment, by key and set, those behind `after` (a `key@set`); refreshes first."""
        sources = [{"key": {"terms": {"field": "key"}}}, {"write_set": {"terms": {"field": "write_set"}}}]
        pages: dict[str, Any] = {"size": limit, "sources": sources}
        if after is not None:
            key, _, write_set = after.partition("@")
            pages["after"] = {"key": key, "write_set": write_set}
        newest = {"max": {"field": "written_at"}}
        sizes = {"max": {"field": "count"}}
        try:
            self.refresh(index)
            with store_errors():
                answer = self._connection.reads.search(
                    index=index,
                    size=0,
                    query={"range": {"written_at": {"lt": before}}},
                    aggs={"sets": {"composite": pages, "aggs": {"newest": newest, "chunks": sizes}}},
                    allow_partial_search_results=False,
                )
        except UnknownCollection:
            return []
        return [
            WrittenSet(
                index=index,
                key=bucket["key"]["key"],
                write_set=bucket["key"]["write_set"],
                chunks=int(bucket["chunks"]["value"]),
                written_at=float(bucket["newest"]["value"]),
            )
            for bucket in answer["aggregations"]["sets"]["buckets"]
        ]

    def set_sizes(self, index: str, write_sets: Sequence[str]) -> dict[str, int]:
        """Return how many visible chunks there are of each of these sets; those of none are left out.

        Raises:
            UnknownCollection: If the index is gone.
        """
        if not write_sets:
            return {}
        wanted = list(write_sets)
        with store_errors():
            answer = self._connection.reads.search(
                index=index,
                size=0,
                query={"terms": {"write_set": wanted}},
                aggs={"sets": {"terms": {"field": "write_set", "size": len(wanted)}}},
                track_total_hits=False,
                allow_partial_search_results=False,
            )
        return {bucket["key"]: int(bucket["doc_count"]) for bucket in answer["aggregations"]["sets"]["buckets"]}


def _body(chunk: IndexedChunk) -> dict[str, Any]:
    body = chunk.model_dump(mode="json", exclude={"chunk_id", "index", "embedding_key"})
    if not chunk.embedding_key:
        return body
    # The vector field cannot be read back, so what is to be found again is kept a second time, as bytes.
    packed = np.array(chunk.vector, PACKED).tobytes()
    return {**body, "embedding_key": chunk.embedding_key, "embedding": b64encode(packed).decode("ascii")}


def _unpacked(packed: str) -> Vectors:
    return np.frombuffer(b64decode(packed), PACKED).astype(np.float32)
