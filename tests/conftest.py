"""Real servers for whatever tests need them.

`OPINION_TEST_ELASTICSEARCH_URL` and `OPINION_TEST_REDIS_URL` name servers that run already. What is not named is
started once for the session, and once for each of its lanes (`tests/lanes.py`). Where that is not possible the tests
skip; with `CI=true` they fail.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from second_opinion.ops.stack import LocalStack
from second_opinion.pipeline.adapters.elasticsearch import Connection, ConnectionOptions, IndexNames
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.schemas.errors import StackError
from tests.lanes import Lanes, Passage

# Haystack reads this when it is imported: no test calls home.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

PASSAGE = pytest.StashKey[Passage]()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Let lanes share the tests by file."""
    return Lanes(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for the other lanes, before a test's time begins to count."""
    passage = item.config.stash.get(PASSAGE, None)
    with passage.inside(alone=item.get_closest_marker("alone") is not None) if passage else nullcontext():
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Find where the lanes of this run meet."""
    if run := os.environ.get("PYTEST_XDIST_TESTRUNUID"):
        config.stash[PASSAGE] = Passage(Path(tempfile.gettempdir()) / f"second-opinion-lanes-{run}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    if passage := config.stash.get(PASSAGE, None):
        passage.close()


@dataclass(frozen=True)
class Servers:
    """Where the servers of this session listen."""

    elasticsearch_url: str
    redis_url: str


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Elasticsearch and Redis: those that the environment names, or a pair of the session's own."""
    elasticsearch_url = os.environ.get("OPINION_TEST_ELASTICSEARCH_URL")
    redis_url = os.environ.get("OPINION_TEST_REDIS_URL")
    if elasticsearch_url and redis_url:
        yield Servers(elasticsearch_url, redis_url)
        return
    # Not under pytest's own folder: that is closed to the account that Elasticsearch may have to run under.
    folder = Path(tempfile.mkdtemp(prefix="second-opinion-tests-"))
    folder.chmod(0o755)
    stack = LocalStack(folder, elasticsearch_port=0, redis_port=0)
    try:
        plan = stack.up({})
    except StackError as problem:
        stack.down()
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no servers: {problem.message}")
    try:
        yield Servers(elasticsearch_url or plan.elasticsearch_url, redis_url or plan.jobs_url)
    finally:
        stack.down()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def elasticsearch_url(servers: Servers) -> str:
    """Where Elasticsearch listens."""
    return servers.elasticsearch_url


@pytest.fixture(scope="session")
def redis_url(servers: Servers) -> str:
    """A Redis database; keys that tests make begin with a namespace of their own."""
    return servers.redis_url


@pytest.fixture
def namespace(redis_url: str) -> Iterator[str]:
    """First part of this test's Redis keys, which are removed behind it."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    client = connect(redis_url, timeout=5.0)
    keys = list(client.scan_iter(match=f"{name}:*"))
    if keys:
        client.delete(*keys)
    client.close()


@pytest.fixture(scope="session")
def elasticsearch(elasticsearch_url: str) -> Iterator[Connection]:
    """A connection to Elasticsearch."""
    connection = Connection(ConnectionOptions(urls=(elasticsearch_url,)))
    yield connection
    connection.close()


@pytest.fixture
def names(elasticsearch: Connection) -> Iterator[IndexNames]:
    """Index names of this test alone; the indices are removed behind it."""
    names = IndexNames(f"test-{uuid.uuid4().hex[:12]}")
    yield names
    made = elasticsearch.reads.indices.get(index=f"{names.prefix}-*", expand_wildcards="all")
    if made.body:
        elasticsearch.writes.indices.delete(index=list(made.body))
