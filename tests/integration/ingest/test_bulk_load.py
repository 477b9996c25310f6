"""A first fill on real Elasticsearch: what the index does without, and that it gets it back."""

import time
from collections.abc import Callable

import pytest

from second_opinion.gateway.loading import LoadInProgress
from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchCollections, IndexNames
from second_opinion.pipeline.ingest.loads import end_overdue_loads
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.workers.clock import SystemClock

pytestmark = pytest.mark.stack
FINGERPRINT = IndexFingerprint(embedding_model="axes", embedding_revision="1", dims=4, chunker="by hand")
LOADING = {"refresh_interval": "-1", "auto_expand_replicas": "false", "number_of_replicas": "0"}


@pytest.fixture
def collections(elasticsearch: Connection, names: IndexNames) -> ElasticsearchCollections:
    """Collections of this test alone."""
    return ElasticsearchCollections(elasticsearch, names, FINGERPRINT)


def settings_of(connection: Connection, index: str) -> dict[str, str | None]:
    found = connection.reads.indices.get_settings(index=index, flat_settings=True)[index]["settings"]
    return {name: found.get(f"index.{name}") for name in LOADING}


def until_of(collections: ElasticsearchCollections) -> float:
    load = collections.get("archive").load
    assert load is not None
    return load.until


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < until, "nobody keeps it up"
        time.sleep(0.05)


def test_an_interrupted_load_gives_back_what_the_operator_had_set(
    elasticsearch: Connection, collections: ElasticsearchCollections
) -> None:
    """Not what we ship but what was there, also where one of the settings had never been set."""
    index = collections.ensure("archive").index
    own = {"index.refresh_interval": None, "index.auto_expand_replicas": "false", "index.number_of_replicas": "2"}
    elasticsearch.writes.indices.put_settings(index=index, settings=own)
    before = settings_of(elasticsearch, index)
    assert before == {"refresh_interval": None, "auto_expand_replicas": "false", "number_of_replicas": "2"}

    def fill() -> None:
        with LoadInProgress(collections, "archive", clock=SystemClock(), seconds=1.0):
            assert settings_of(elasticsearch, index) == LOADING
            first = until_of(collections)
            wait_for(lambda: until_of(collections) > first)
            assert settings_of(elasticsearch, index) == LOADING
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert settings_of(elasticsearch, index) == before
    assert collections.get("archive").load is None


def test_a_load_whose_maker_is_gone_is_ended(elasticsearch: Connection, collections: ElasticsearchCollections) -> None:
    """Once nobody has kept it up the shipped settings are back; one that somebody keeps up is left alone."""
    shipped = settings_of(elasticsearch, collections.ensure("archive").index)
    record = collections.begin_load("archive", until=1_000.0)
    assert end_overdue_loads(collections, now=1_000.0) == 0
    assert settings_of(elasticsearch, record.index) == LOADING
    assert end_overdue_loads(collections, now=1_000.1) == 1
    assert settings_of(elasticsearch, record.index) == shipped
    assert end_overdue_loads(collections, now=2_000.0) == 0
