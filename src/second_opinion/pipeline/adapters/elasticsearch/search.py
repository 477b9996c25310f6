"""The search: one round trip for BM25 and kNN with the same filters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from second_opinion.pipeline.adapters.elasticsearch.errors import cause, from_status
from second_opinion.pipeline.ports import ListedHit, SearchHits, SearchRequest
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.errors import StoreUnavailable
from second_opinion.schemas.query import ExistsFilter, Filter, RangeFilter, TermFilter

MAX_KNN_CANDIDATES: Final = 10_000
MIN_KNN_CANDIDATES: Final = 150
CANDIDATES_PER_HIT: Final = 5.0
RESCORED_PER_HIT: Final = 2.0


def search_lines(request: SearchRequest) -> list[dict[str, Any]]:
    """Return the lines of the multi-search: a header and a body for each list that is wanted.

    kNN looks at five times as many as it returns, since HNSW finds the nearest only approximately, and the less so the
    more there are (`benchmarks/results/recall_at_scale.json`). Twice as many as it returns are compared by their exact
    vectors: what 8 bits order wrongly is in its right place then, at no cost that can be seen (`recall_variants.json`).
    """
    header = {"index": request.index, "allow_partial_search_results": False}
    filters = _filters(request)
    lines: list[dict[str, Any]] = []
    if request.bm25:
        lines += [header, {**_common(request.depth), "query": _bm25(request.text, filters)}]
    if request.knn:
        lines += [header, {**_common(request.depth), "knn": _knn(request, filters)}]
    return lines


def parse_hits(request: SearchRequest, responses: Sequence[Mapping[str, Any]]) -> SearchHits:
    """Return both lists of a multi-search's answer.

    Raises:
        OpinionError: If one of the searches failed or saw only a part of the index.
    """
    lists = iter([_listed(response) for response in responses])
    bm25 = next(lists) if request.bm25 else ()
    knn = next(lists) if request.knn else ()
    return SearchHits(
        bm25=bm25,
        knn=knn,
        bm25_full=len(bm25) >= request.depth,
        knn_full=len(knn) >= min(request.depth, MAX_KNN_CANDIDATES),
    )


def chunk_hit(hit: Mapping[str, Any]) -> ChunkHit:
    """Return the chunk of one hit."""
    return ChunkHit.model_validate({**hit["_source"], "chunk_id": hit["_id"], "index": hit["_index"]})


def _common(size: int) -> dict[str, Any]:
    return {"size": min(size, MAX_KNN_CANDIDATES), "track_total_hits": False}


def _bm25(text: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {"must": {"match": {"passage": {"query": text}}}, "filter": filters}}


def _knn(request: SearchRequest, filters: list[dict[str, Any]]) -> dict[str, Any]:
    k = min(request.depth, MAX_KNN_CANDIDATES)
    wide = max(MIN_KNN_CANDIDATES, math.ceil(CANDIDATES_PER_HIT * k))
    return {
        "field": "vector",
        "query_vector": request.vector.tolist(),
        "k": k,
        "num_candidates": min(MAX_KNN_CANDIDATES, wide),
        "rescore_vector": {"oversample": RESCORED_PER_HIT},
        "filter": filters,
    }


def _filters(request: SearchRequest) -> list[dict[str, Any]]:
    clauses = [_clause(one) for one in request.filters]
    if request.write_sets is not None:
        clauses.append({"terms": {"write_set": list(request.write_sets)}})
    return clauses


def _clause(one: Filter) -> dict[str, Any]:
    field = f"metadata.{one.field}"
    match one:
        case TermFilter():
            return {"terms": {field: list(one.values)}}
        case RangeFilter():
            bounds = {"gt": one.gt, "gte": one.gte, "lt": one.lt, "lte": one.lte}
            return {"range": {field: {name: bound for name, bound in bounds.items() if bound is not None}}}
        case ExistsFilter():
            there = {"exists": {"field": field}}
            return there if one.exists else {"bool": {"must_not": [there]}}


def _listed(response: Mapping[str, Any]) -> tuple[ListedHit, ...]:
    if "error" in response:
        raise from_status(int(response.get("status", 500)), cause(response))
    if response.get("timed_out") or response["_shards"]["failed"]:
        raise StoreUnavailable("Elasticsearch searched only a part of the index")
    hits = response["hits"]["hits"]
    return tuple(ListedHit(rank, float(hit["_score"]), chunk_hit(hit)) for rank, hit in enumerate(hits, start=1))
