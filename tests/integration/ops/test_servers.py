"""The servers of the local stack do what production's do, as far as the code relies on it."""

import uuid
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import redis
from elasticsearch import Elasticsearch

from second_opinion.ops.plan import StackPlan
from second_opinion.ops.stack import LocalStack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def plan(running: LocalStack) -> StackPlan:
    """Addresses of the running servers."""
    plan = running.plan()
    assert plan is not None
    return plan


@pytest.fixture(scope="module")
def client(plan: StackPlan) -> Iterator[Elasticsearch]:
    """A client of the running Elasticsearch."""
    with Elasticsearch(plan.elasticsearch_url, request_timeout=30) as client:
        yield client


@pytest.fixture
def index(client: Elasticsearch) -> Iterator[str]:
    """A chunk-like index with the analyzer and the vector options that the product pins."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    vector = {"type": "dense_vector", "dims": 4, "index": True, "similarity": "cosine"}
    properties = {
        "text": {"type": "text", "analyzer": "english"},
        "vector": {**vector, "index_options": {"type": "int8_hnsw"}},
        "year": {"type": "long"},
    }
    client.indices.create(index=name, mappings={"properties": properties}, settings={"number_of_replicas": 0})
    yield name
    client.indices.delete(index=name)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The approved refunds", ["approv", "refund"]),
        ("children's dosages are running", ["children", "dosag", "run"]),
        ("of and the", []),
    ],
)
def test_english_text_is_stemmed_and_freed_of_stop_words(client: Elasticsearch, text: str, tokens: list[str]) -> None:
    """The analyzer that our plugin gives back is Elasticsearch's own `english`."""
    found = client.indices.analyze(analyzer="english", text=text)
    assert [token["token"] for token in found["tokens"]] == tokens


def test_words_are_found_by_their_stem(client: Elasticsearch, index: str) -> None:
    """A mapping that names `english` serves BM25 across word forms."""
    client.index(index=index, document={"text": "Refunds are approved by the finance team."}, refresh=True)
    found = client.search(index=index, query={"match": {"text": "who approves a refund"}})
    assert found["hits"]["total"]["value"] == 1


def test_vectors_are_found_by_nearness_and_filter(client: Elasticsearch, index: str) -> None:
    """Vectors with pinned index options, with a filter, as one line of an _msearch beside BM25."""
    for year, vector in ((2019, [1, 0, 0, 0]), (2020, [0.9, 0.1, 0, 0]), (2021, [0, 0, 0, 1])):
        client.index(index=index, id=str(year), document={"text": "leaflet", "vector": vector, "year": year})
    client.indices.refresh(index=index)
    only_later = {"range": {"year": {"gte": 2020}}}
    knn = {"field": "vector", "query_vector": [1, 0, 0, 0], "k": 2, "num_candidates": 10, "filter": only_later}
    words = {"bool": {"must": {"match": {"text": "leaflets"}}, "filter": only_later}}
    searches: list[dict[str, Any]] = [{}, {"knn": knn}, {}, {"query": words}]
    by_vector, by_word = client.msearch(index=index, searches=searches)["responses"]
    assert [hit["_id"] for hit in by_vector["hits"]["hits"]] == ["2020", "2021"]
    assert {hit["_id"] for hit in by_word["hits"]["hits"]} == {"2020", "2021"}


def test_redis_never_evicts_and_keeps_its_data(plan: StackPlan) -> None:
    """A full queue is an error and not a loss, and every write is logged to disk."""
    for url in (plan.broker_url, plan.jobs_url, plan.cache_url):
        with redis.Redis.from_url(url, decode_responses=True) as client:
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert client.config_get("appendonly")["appendonly"] == "yes"


def test_servers_listen_on_loopback_alone(running: LocalStack) -> None:
    """Nothing of the stack can be reached from another machine."""
    addresses = set()
    for part in running.status().parts:
        assert part.process is not None
        process = psutil.Process(part.process.pid)
        for member in (process, *process.children(recursive=True)):
            addresses |= {c.laddr.ip for c in member.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN}
    assert addresses
    assert {address.removeprefix("::ffff:") for address in addresses} <= {"127.0.0.1", "::1"}
