"""Traces in Elasticsearch: what a floor is chosen by as doc values, everything else carried along.

Each index holds the traces of some days and has both in its name (`opinion-traces-2026.02.03-1d`), so that old ones are
dropped whole. Questions about 100,000 traces are answered by aggregations; no trace is read for them.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk, to_json
from second_opinion.pipeline.adapters.elasticsearch.bulk import Outcome as Written
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.documents import NOT_FOUND
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import (
    SYSTEM_SETTINGS,
    IndexNames,
    trace_mappings,
    write_alias,
)
from second_opinion.pipeline.adapters.elasticsearch.removal import remove_found
from second_opinion.pipeline.adapters.elasticsearch.system import create_index
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.trace import (
    HISTOGRAM_BINS,
    FloorCount,
    ReplayedQuery,
    ScorerTraces,
    Trace,
    TracedCandidate,
    TracePlace,
    TraceScope,
    TraceSpread,
    TraceSummary,
)
from second_opinion.schemas.verdict import Decision, Outcome

SETTINGS: Final[dict[str, Any]] = {**SYSTEM_SETTINGS, "codec": "best_compression"}
DAY_FORMAT: Final = "%Y.%m.%d"
MAX_INDICES: Final = 31
MAX_SCORERS: Final = 50
QUESTIONS_PER_READ: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ElasticsearchTraces:
    """Implements `pipeline.ports.TraceStore`.

    Args:
        connection: The client.
        names: Names of the indices.
        days: How long traces are to be kept: an index holds a day, or as many as it takes to need no more than 31.
    """

    def __init__(self, connection: Connection, names: IndexNames, *, days: int) -> None:
        self._connection = connection
        self._prefix = names.traces
        self._period = max(1, -(-days // MAX_INDICES))
        self._made: set[str] = set()

    def write(self, traces: Sequence[Trace]) -> list[ErrorInfo | None]:
        """Write traces; return an error or None for each."""
        by_index: dict[str, list[int]] = {}
        for place, trace in enumerate(traces):
            by_index.setdefault(self._index_at(trace.at), []).append(place)
        infos: list[ErrorInfo | None] = [None] * len(traces)
        for index, places in by_index.items():
            outcomes = self._write_to(index, [_action(traces[place]) for place in places])
            for place, outcome in zip(places, outcomes, strict=True):
                infos[place] = outcome.error.info() if outcome.error is not None else None
        return infos

    def get(self, job_id: str) -> Trace | None:
        """Return the newest trace of a job."""
        answer = self._search(TraceScope(), {"term": {"job_id": job_id}}, size=1, sort=_NEWEST_FIRST)
        hits = answer["hits"]["hits"]
        return _trace(hits[0]["_source"]) if hits else None

    def listed(self, scope: TraceScope, *, before: TracePlace | None = None, limit: int) -> list[TraceSummary]:
        """Return these traces without their candidates, the newest first; those behind a place in that order."""
        place = {} if before is None else {"search_after": list(before)}
        sort = [{"at": "desc"}, {"job_id": "asc"}]
        answer = self._search(scope, size=limit, sort=sort, source=_SUMMARY_FIELDS, **place)
        return [_summary(hit["_source"]) for hit in answer["hits"]["hits"]]

    def scorers(self, scope: TraceScope) -> list[ScorerTraces]:
        """Return the scorers of these traces, the one with the newest trace first."""
        by_newest = {"terms": {"field": "scorer", "size": MAX_SCORERS, "order": {"newest": "desc"}}}
        answer = self._search(scope, aggs={"scorers": {**by_newest, "aggs": {"newest": {"max": {"field": "at"}}}}})
        # Without any index there is nothing to aggregate, and no answer to read.
        buckets = answer.get("aggregations", {}).get("scorers", {}).get("buckets", ())
        return [
            ScorerTraces(scorer=one["key"], traces=one["doc_count"], newest_at=one["newest"]["value"])
            for one in buckets
        ]

    def spread(self, scope: TraceScope, floors: Sequence[float]) -> TraceSpread:
        """Return how relevance is spread over these traces, and what each of `floors` would have done."""
        ordered = sorted(set(floors))
        bins = _steps([place / HISTOGRAM_BINS for place in range(HISTOGRAM_BINS)])
        aggs: dict[str, Any] = {
            "answered": {"filter": {"term": {"outcome": Outcome.ANSWERED.value}}},
            "kept": {"sum": {"field": "kept"}},
            "candidates": {"sum": {"field": "candidate_count"}},
            "bins": {"range": {"field": "best_relevance", "ranges": bins}},
        }
        if ordered:
            steps = _steps(ordered)
            aggs["best"] = {"range": {"field": "best_relevance", "ranges": steps}}
            for place in range(1, self._most_shown(scope) + 1):
                aggs[f"shown{place}"] = {"range": {"field": f"shown.{place}", "ranges": steps}}
        answer = self._search(scope, aggs=aggs, track_total_hits=True)
        return _spread(answer, floors, ordered)

    def newest(self, scope: TraceScope, query_hashes: Sequence[str]) -> dict[str, Trace]:
        """Return the newest of these traces for each question."""
        found: dict[str, Trace] = {}
        unique = list(dict.fromkeys(query_hashes))
        for start in range(0, len(unique), QUESTIONS_PER_READ):
            answer = self._search(
                scope,
                {"terms": {"query_hash": unique[start : start + QUESTIONS_PER_READ]}},
                size=QUESTIONS_PER_READ,
                sort=_NEWEST_FIRST,
                collapse={"field": "query_hash"},
            )
            for hit in answer["hits"]["hits"]:
                trace = _trace(hit["_source"])
                found[trace.query_hash] = trace
        return found

    def changed(self, scope: TraceScope, floor: float, outcome: Outcome, *, limit: int) -> list[ReplayedQuery]:
        """Return the newest queries that ended otherwise but would have ended with `outcome` at this floor."""
        changes = _changes(floor, outcome)
        answer = self._search(scope, *changes, size=limit, sort=_NEWEST_FIRST, source=_REPLAY_FIELDS)
        return [_replayed(hit["_source"], floor) for hit in answer["hits"]["hits"]]

    def count_changed(self, scope: TraceScope, floor: float, outcome: Outcome) -> int:
        """Return how many queries `changed` has to tell of."""
        answer = self._search(scope, *_changes(floor, outcome), track_total_hits=True)
        return _total(answer)

    def drop(self, *, before: float) -> int:
        """Remove traces made before a moment, as far as whole indices hold nothing newer; return how many indices."""
        with store_errors():
            known = self._connection.reads.indices.get_settings(index=f"{self._prefix}-*", name="index.uuid")
        old = [name for name in known if (end := _end_of(name, self._prefix)) is not None and end <= before]
        if old:
            with store_errors():
                self._connection.writes.indices.delete(index=old, ignore_unavailable=True)
            self._made.difference_update(old)
        return len(old)

    def forget(self, collection: str) -> None:
        """Remove all traces of a collection."""
        remove_found(self._connection, f"{self._prefix}-*", {"term": {"collection": collection}})

    def _most_shown(self, scope: TraceScope) -> int:
        """Return the largest number of passages that any of these traces could show."""
        answer = self._search(scope, aggs={"most": {"max": {"field": "shown_count"}}})
        return int(answer.get("aggregations", {}).get("most", {}).get("value") or 0)

    def _index_at(self, moment: float) -> str:
        days = int(moment // 86_400)
        first = _EPOCH + timedelta(days=days - days % self._period)
        return f"{self._prefix}-{first.strftime(DAY_FORMAT)}-{self._period}d"

    def _write_to(self, index: str, actions: Sequence[Action]) -> list[Written]:
        """Write through the index's alias: one that is gone is made anew, not by guessing."""
        self._make(index)
        outcomes = run_bulk(self._connection, write_alias(index), actions, require_alias=True)
        if any(outcome.status == NOT_FOUND for outcome in outcomes):
            self._made.discard(index)
            self._make(index)
            outcomes = run_bulk(self._connection, write_alias(index), actions, require_alias=True)
        return outcomes

    def _make(self, index: str) -> None:
        if index not in self._made:
            create_index(self._connection, index, SETTINGS, trace_mappings(), {write_alias(index): {}})
            self._made.add(index)

    def _search(
        self, scope: TraceScope, *filters: Mapping[str, Any], size: int = 0, **options: Any
    ) -> Mapping[str, Any]:
        options.setdefault("track_total_hits", False)
        with store_errors():
            answer = self._connection.reads.search(
                index=f"{self._prefix}-*",
                query={"bool": {"filter": [*_within(scope), *filters]}},
                size=size,
                allow_partial_search_results=False,
                **options,
            )
        return dict(answer)


_NEWEST_FIRST: Final = [{"at": "desc"}]
_SUMMARY_FIELDS: Final = [
    *(TraceSummary.model_fields.keys() - {"candidates", "milliseconds", "floor"}),
    "candidate_count",
    "milliseconds.total",
    "choices.floor",
]
_REPLAY_FIELDS: Final = ["job_id", "at", "query", "best_relevance", "relevances", "kept", "choices.floor"]


def _within(scope: TraceScope) -> list[dict[str, Any]]:
    terms = {"collection": scope.collection, "scorer": scope.scorer}
    filters: list[dict[str, Any]] = [{"term": {name: value}} for name, value in terms.items() if value is not None]
    if scope.since is not None:
        filters.append({"range": {"at": {"gte": scope.since}}})
    return filters


def _changes(floor: float, outcome: Outcome) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the filters for queries that did not end with `outcome` but would at this floor."""
    reaches = {"range": {"best_relevance": {"gte": floor}}}
    would = reaches if outcome is Outcome.ANSWERED else {"bool": {"must_not": [reaches]}}
    return {"bool": {"must_not": [{"term": {"outcome": outcome.value}}]}}, would


def _steps(starts: Sequence[float]) -> list[dict[str, float]]:
    """Return ranges that begin at each of these ascending numbers and end where the next begins."""
    ends = [{"to": end} for end in starts[1:]]
    return [{"from": start, **end} for start, end in zip(starts, [*ends, {}], strict=True)]


def _spread(answer: Mapping[str, Any], floors: Sequence[float], ordered: Sequence[float]) -> TraceSpread:
    found = answer.get("aggregations", {})
    answered = _reaching(found.get("best"), len(ordered))
    kept = [0] * len(ordered)
    for name, one in found.items():
        if name.startswith("shown"):
            kept = [before + count for before, count in zip(kept, _reaching(one, len(ordered)), strict=True)]
    counts = {
        floor: FloorCount(floor=floor, answered=answered[place], kept=kept[place])
        for place, floor in enumerate(ordered)
    }
    return TraceSpread(
        traces=_total(answer),
        candidates=int(found["candidates"]["value"]) if found else 0,
        answered=found["answered"]["doc_count"] if found else 0,
        kept=int(found["kept"]["value"]) if found else 0,
        histogram=tuple(_counts(found["bins"])) if found else (0,) * HISTOGRAM_BINS,
        floors=tuple(counts[floor] for floor in floors),
    )


def _reaching(ranges: Mapping[str, Any] | None, length: int) -> list[int]:
    """Return for each range how many traces lie in it or in a higher one."""
    counts = _counts(ranges) if ranges is not None else [0] * length
    return list(accumulate(reversed(counts)))[::-1]


def _counts(ranges: Mapping[str, Any]) -> list[int]:
    return [int(bucket["doc_count"]) for bucket in sorted(ranges["buckets"], key=lambda bucket: float(bucket["from"]))]


def _total(answer: Mapping[str, Any]) -> int:
    return int(answer["hits"]["total"]["value"])


def _end_of(index: str, prefix: str) -> float | None:
    """Return the Unix seconds at which an index's days are over; None for one that is not ours."""
    first, _, period = index.removeprefix(f"{prefix}-").partition("-")
    try:
        start = datetime.strptime(first, DAY_FORMAT).replace(tzinfo=UTC)
        return start.timestamp() + int(period.removesuffix("d")) * 86_400.0
    except ValueError:
        return None


def _action(trace: Trace) -> Action:
    return Action("index", {"_id": trace.job_id}, to_json(_body(trace)))


def _body(trace: Trace) -> dict[str, Any]:
    """Return a trace as it is stored: candidates by column, which takes half the room of rows."""
    body = trace.model_dump(mode="json", exclude={"candidates"})
    rows = [candidate.model_dump(mode="json") for candidate in trace.candidates]
    return {
        **body,
        "scorer": trace.scorer,
        "candidate_count": len(rows),
        "shown_count": len(trace.relevances),
        "shown": {str(place): relevance for place, relevance in enumerate(trace.relevances, start=1)},
        "columns": {name: [row[name] for row in rows] for name in TracedCandidate.model_fields},
    }


def _trace(source: Mapping[str, Any]) -> Trace:
    """Return a stored trace. Its candidates are not validated anew: reports read tens of thousands of them."""
    columns = {name: values for name, values in source["columns"].items() if name in TracedCandidate.model_fields}
    columns["decision"] = [Decision(value) for value in columns["decision"]]
    rows = zip(*columns.values(), strict=True)
    candidates = [TracedCandidate.model_construct(**dict(zip(columns, row, strict=True))) for row in rows]
    return Trace.model_validate({**source, "candidates": candidates})


def _summary(source: Mapping[str, Any]) -> TraceSummary:
    counted = {
        "candidates": source["candidate_count"],
        "milliseconds": source.get("milliseconds", {}).get("total"),
        "floor": source["choices"]["floor"],
    }
    return TraceSummary.model_validate({**source, **counted})


def _replayed(source: Mapping[str, Any], floor: float) -> ReplayedQuery:
    return ReplayedQuery(
        job_id=source["job_id"],
        at=source["at"],
        query=source.get("query"),
        best_relevance=source["best_relevance"],
        floor=source["choices"]["floor"],
        kept=source["kept"],
        kept_then=sum(relevance >= floor for relevance in source["relevances"]),
    )
