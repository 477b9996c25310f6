"""A full system, on a real Redis: callers hear `overloaded` with the seconds to wait, and are let in again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from second_opinion import Client
from second_opinion.gateway.cli.intake import Intake
from second_opinion.pipeline.admission import ASK_SECONDS
from second_opinion.schemas.document import DocumentInput
from second_opinion.schemas.errors import Overloaded
from second_opinion.workers.settings import Settings
from tests.conftest import Servers
from tests.faults.victims import OwnRedis

pytestmark = pytest.mark.stack

MEGABYTE = 1024 * 1024
MEMORY = 32 * MEGABYTE


class Steps:
    """Counts what a progress bar would show."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, count: int = 1) -> None:
        """Count."""
        self.done += count


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A Redis of this test alone."""
    server = OwnRedis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def settings(servers: Servers, own_redis: OwnRedis, names: object, tmp_path: Path) -> Settings:
    """Settings with low bounds."""
    return Settings.model_validate(
        {
            "state_dir": tmp_path,
            "elasticsearch_url": servers.elasticsearch_url,
            "broker_url": own_redis.url(0),
            "jobs_url": own_redis.url(1),
            "cache_url": own_redis.url(2),
            "index_prefix": names.prefix,  # type: ignore[attr-defined] # a fixture
            "max_ingest_messages": 2,
            "max_query_messages": 2,
        }
    )


def document(number: int) -> DocumentInput:
    return DocumentInput(id=f"room/{number}", text=f"Room {number} holds the ledgers.")


def test_documents_beyond_the_bound_are_refused_and_queries_are_not(settings: Settings) -> None:
    """Without index workers messages pile up: the next document is refused, a deletion and a query are not."""
    with Client(settings) as client:
        for number in range(2):
            client.submit_document(document(number))
        with Client(settings) as another, pytest.raises(Overloaded) as refused:
            another.submit_document(document(2))
        assert refused.value.retry_after > 0
        assert client.delete_document("room/0").error is None
        assert not client.submit_query("Which room?").is_terminal


def test_queries_beyond_the_bound_are_refused(settings: Settings) -> None:
    """Without retrieve workers queries pile up: the next one is refused, and is no job."""
    with Client(settings) as client:
        client.submit_document(document(0))
        for _ in range(2):
            client.submit_query("Which room?")
        with Client(settings) as another, pytest.raises(Overloaded):
            another.submit_query("Which room?", job_id="refused")
        assert client.parts.jobs.count_waiting() == 2


def test_a_nearly_full_redis_refuses(settings: Settings, own_redis: OwnRedis) -> None:
    """Beyond its share of Redis's memory limit nothing is taken in; with room it is again."""
    direct = redis.Redis.from_url(own_redis.url(2))
    direct.config_set("maxmemory", MEMORY)
    with Client(settings) as client:
        client.submit_document(document(0))
        while int(direct.info("memory")["used_memory"]) < settings.max_redis_share * MEMORY:
            direct.append("ballast", b"x" * (MEGABYTE // 2))
        with Client(settings) as another, pytest.raises(Overloaded, match="memory"):
            another.submit_document(document(1))
        direct.delete("ballast")
        with Client(settings) as another:
            another.submit_document(document(1))


def test_the_command_line_waits_and_says_so(settings: Settings, own_redis: OwnRedis) -> None:
    """`opinion ingest` goes on when there is room again: one line says that it waits, and no document is lost."""
    said: list[str] = []

    def make_room(seconds: float) -> None:
        redis.Redis.from_url(own_redis.url(0)).delete("index")
        time.sleep(min(seconds, ASK_SECONDS))

    with Client(settings) as client:
        for number in range(2):
            client.submit_document(document(number))
    with Client(settings) as client:
        intake, progress = Intake(client, said.append, sleep=make_room), Steps()
        intake.send([document(2), document(3)], progress)
    assert (progress.done, intake.counts.accepted, intake.failures) == (2, 2, [])
    assert len(said) == 1
    assert "Waiting for room" in said[0]
