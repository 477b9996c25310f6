"""Records of documents in Elasticsearch: created or compared-and-set on sequence numbers, read in real time."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, Outcome, run_bulk, to_json
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import DOCUMENT_FIELDS, IndexNames
from second_opinion.pipeline.adapters.elasticsearch.reading import multi_get
from second_opinion.pipeline.adapters.elasticsearch.system import SystemIndex
from second_opinion.pipeline.ports import Seen, Swap
from second_opinion.schemas.document import DocumentRecord, DocumentState
from second_opinion.schemas.errors import StoreUnavailable

CONFLICT: Final = 409
NOT_FOUND: Final = 404


class ElasticsearchDocuments:
    """Implements `pipeline.ports.DocumentStore`. Listings see what was written up to about a second ago."""

    def __init__(self, connection: Connection, names: IndexNames) -> None:
        self._connection = connection
        self._index = SystemIndex(connection, names.documents, DOCUMENT_FIELDS)

    def get(self, keys: Sequence[str]) -> dict[str, Seen]:
        """Return what is stored under `keys`; missing ones are left out."""
        return {item["_id"]: _seen(item) for item in multi_get(self._connection, self._index.name, keys)}

    def swap(self, swaps: Sequence[Swap]) -> list[Seen | None]:
        """Apply each swap on its own; return what is now stored, or None where somebody else was first."""
        if not swaps:
            return []
        outcomes = run_bulk(self._connection, self._index.ready(), [_action(swap) for swap in swaps])
        return [_stored(swap, outcome) for swap, outcome in zip(swaps, outcomes, strict=True)]

    def remove(self, seen: Sequence[Seen]) -> int:
        """Remove records that are still as they were seen; return how many were."""
        if not seen:
            return 0
        actions = [Action("delete", _place(one)) for one in seen]
        outcomes = run_bulk(self._connection, self._index.ready(), actions)
        for outcome in outcomes:
            if outcome.error is not None and outcome.status not in {CONFLICT, NOT_FOUND}:
                raise outcome.error
        return sum(outcome.error is None for outcome in outcomes)

    def lost(self, *, now: float, limit: int) -> list[Seen]:
        """Return received documents that are in no queue: lease expired, or let go and `not_before` has come."""
        expired = {"range": {"lease_until": {"gt": 0.0, "lte": now}}}
        let_go = {"bool": {"filter": [*_waiting(now), {"term": {"enqueued_at": 0.0}}]}}
        return self._oldest([_RECEIVED, _any_of(expired, let_go)], "accepted_at", limit)

    def waiting(self, *, now: float, enqueued_before: float, limit: int) -> list[Seen]:
        """Return received documents that nobody works on and that were last enqueued before a moment, oldest first."""
        enqueued = {"range": {"enqueued_at": {"lt": enqueued_before}}}
        return self._oldest([*_waiting(now), enqueued], "accepted_at", limit)

    def count_waiting(self, *, now: float) -> int:
        """Return how many received documents nobody works on, with `not_before` come."""
        with store_errors():
            answer = self._connection.reads.count(
                index=self._index.name, query={"bool": {"filter": _waiting(now)}}, ignore_unavailable=True
            )
        return int(answer["count"])

    def tombstones(self, *, before: float, limit: int) -> list[Seen]:
        """Return records of documents deleted before a moment, oldest first."""
        deleted = {"term": {"state": DocumentState.DELETED.value}}
        return self._oldest([deleted, {"range": {"updated_at": {"lt": before}}}], "updated_at", limit)

    def listed(self, collection: str, *, state: str | None, after: str | None, limit: int) -> list[DocumentRecord]:
        """Return records of a collection by document id, those behind `after`."""
        filters: list[dict[str, Any]] = [{"term": {"collection": collection}}]
        if state is not None:
            filters.append({"term": {"state": state}})
        found = self._search(filters, "document_id", limit, after)
        return [one.record for one in found]

    def counts(self, collection: str) -> dict[DocumentState, int]:
        """Return how many records of a collection are in each state; states of none are left out."""
        with store_errors():
            answer = self._connection.reads.search(
                index=self._index.name,
                query={"term": {"collection": collection}},
                aggs={"states": {"terms": {"field": "state", "size": len(DocumentState)}}},
                size=0,
                track_total_hits=False,
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        # Before the first document there is no index, and nothing to aggregate.
        buckets = answer.get("aggregations", {}).get("states", {}).get("buckets", ())
        return {DocumentState(bucket["key"]): int(bucket["doc_count"]) for bucket in buckets}

    def leased(self, collection: str, *, limit: int) -> list[DocumentRecord]:
        """Return records of a collection that somebody holds a lease of, run out or not; refreshes first."""
        self._refresh()
        filters: list[dict[str, Any]] = [{"term": {"collection": collection}}, _RECEIVED, _LEASED]
        return [one.record for one in self._search(filters, "document_id", limit, None)]

    def lacking(self, collection: str, index: str, *, after: str | None, limit: int) -> list[DocumentRecord]:
        """Return records of a collection with nothing committed in `index`; refreshes before the first page."""
        if after is None:
            self._refresh()
        others = [{"term": {"committed_in": index}}, {"term": {"state": DocumentState.DELETED.value}}]
        filters: list[dict[str, Any]] = [{"term": {"collection": collection}}, {"bool": {"must_not": others}}]
        return [one.record for one in self._search(filters, "document_id", limit, after)]

    def count_committed(self, collection: str, index: str) -> int:
        """Return how many documents of a collection have something committed in `index`."""
        filters = [{"term": {"collection": collection}}, {"term": {"committed_in": index}}]
        with store_errors():
            answer = self._connection.reads.count(
                index=self._index.name, query={"bool": {"filter": filters}}, ignore_unavailable=True
            )
        return int(answer["count"])

    def _refresh(self) -> None:
        with store_errors():
            answer = self._connection.writes.indices.refresh(index=self._index.name, ignore_unavailable=True)
        if answer["_shards"]["failed"]:
            raise StoreUnavailable(f"{answer['_shards']['failed']} shards of {self._index.name} were not refreshed")

    def _oldest(self, filters: Sequence[Mapping[str, Any]], field: str, limit: int) -> list[Seen]:
        return self._search(filters, field, limit, None)

    def _search(self, filters: Sequence[Mapping[str, Any]], field: str, limit: int, after: str | None) -> list[Seen]:
        with store_errors():
            answer = self._connection.reads.search(
                index=self._index.name,
                query={"bool": {"filter": list(filters)}},
                sort=[{field: "asc"}],
                search_after=None if after is None else [after],
                size=limit,
                seq_no_primary_term=True,
                track_total_hits=False,
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        return [_seen(hit) for hit in answer["hits"]["hits"]]


_RECEIVED: Final[dict[str, Any]] = {"term": {"state": DocumentState.RECEIVED.value}}


_LEASED: Final[dict[str, Any]] = {"range": {"lease_until": {"gt": 0.0}}}


def _waiting(now: float) -> list[dict[str, Any]]:
    return [_RECEIVED, {"term": {"lease_until": 0.0}}, {"range": {"not_before": {"lte": now}}}]


def _any_of(*clauses: Mapping[str, Any]) -> dict[str, Any]:
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def _seen(item: Mapping[str, Any]) -> Seen:
    return Seen(DocumentRecord.model_validate(item["_source"]), int(item["_seq_no"]), int(item["_primary_term"]))


def _place(seen: Seen) -> dict[str, Any]:
    return {"_id": seen.record.key, "if_seq_no": seen.seq_no, "if_primary_term": seen.primary_term}


def _action(swap: Swap) -> Action:
    body = to_json(swap.record.model_dump(mode="json"))
    if swap.seen is None:
        return Action("create", {"_id": swap.record.key}, body)
    return Action("index", _place(swap.seen), body)


def _stored(swap: Swap, outcome: Outcome) -> Seen | None:
    if outcome.status == CONFLICT:
        return None
    if outcome.error is not None:
        raise outcome.error
    return Seen(swap.record, outcome.seq_no, outcome.primary_term)
