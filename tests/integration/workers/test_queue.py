"""The front of a queue, on a real Redis: what goes there is taken before all that waits, by an ordinary consumer."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Queue

from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.errors import BrokerUnavailable
from second_opinion.workers.app import make_app
from second_opinion.workers.queue import CeleryTaskQueue
from second_opinion.workers.settings import Settings
from tests.acceptance.conftest import BROKER_DATABASE, redis_database
from tests.conftest import Servers

WAITING = 20


@pytest.fixture
def app(servers: Servers) -> Iterator[Celery]:
    """An application on a broker of its own."""
    url = redis_database(servers.redis_url, BROKER_DATABASE)
    redis.Redis.from_url(url).flushdb()
    yield make_app(Settings.model_validate({"broker_url": url}))
    redis.Redis.from_url(url).flushdb()


def taken(app: Celery, queue: str, count: int) -> list[str]:
    """Take messages as any consumer of Celery's does, and acknowledge them; return whose they are."""
    found: list[str] = []

    def note(body: tuple[list[dict[str, str]], object, object], message: object) -> None:
        payload = body[0][0]
        found.append(str(payload.get("job_id") or payload["documents"][0]["key"]))
        message.ack()  # type: ignore[attr-defined] # kombu's message

    with (
        suppress(TimeoutError),
        app.connection_for_read() as connection,
        connection.Consumer([Queue(queue)], callbacks=[note]),
    ):
        while len(found) < count:
            connection.drain_events(timeout=5.0)
    return found


def test_the_front_is_before_all_that_waits(app: Celery) -> None:
    """Twenty wait; two come to the front: they are taken first, then the rest, each in the order in which they came."""
    queue = CeleryTaskQueue(app)
    for number in range(WAITING):
        queue.retrieve(f"job-{number}")
    queue.retrieve("rescued-1", front=True)
    queue.retrieve("rescued-2", front=True)
    assert queue.length("retrieve") == WAITING + 2
    expected = ["rescued-1", "rescued-2", *(f"job-{number}" for number in range(WAITING))]
    assert taken(app, "retrieve", WAITING + 2) == expected
    assert queue.length("retrieve") == 0


def test_every_kind_of_message_has_a_front(app: Celery) -> None:
    """Documents and both stages of a query alike."""
    queue = CeleryTaskQueue(app)
    refs = [DocumentRef(key=name, target="g") for name in ("first", "rescued")]
    queue.index([refs[0]])
    queue.index([refs[1]], front=True)
    queue.rerank("first")
    queue.rerank("rescued", front=True)
    assert taken(app, "index", 2) == ["rescued", "first"]
    assert taken(app, "rerank", 2) == ["rescued", "first"]


def test_the_front_is_no_other_list_and_leaves_no_connection_open(app: Celery, servers: Servers) -> None:
    """A consumer that knows nothing of it sees one queue, and a thousand rescues do not use up Redis's connections."""
    queue = CeleryTaskQueue(app)
    client = redis.Redis.from_url(redis_database(servers.redis_url, BROKER_DATABASE))

    def connections() -> int:
        return sum(one["db"] == str(BROKER_DATABASE) for one in client.client_list())

    queue.retrieve("ordinary")
    before = connections()
    for _ in range(WAITING):
        queue.retrieve("rescued", front=True)
    assert connections() < before + WAITING / 2, "each send keeps its connection"
    assert [name for name in client.keys("*") if client.type(name) == b"list"] == [b"retrieve"]


def test_asking_for_lengths_opens_no_connections(app: Celery, servers: Servers) -> None:
    """A caller who submits once a second asks each time; when Redis has closed what is kept, it is opened again."""
    queue = CeleryTaskQueue(app)
    queue.retrieve("waits")
    client = redis.Redis.from_url(redis_database(servers.redis_url, BROKER_DATABASE))
    there = {one["id"] for one in client.client_list()}
    assert queue.length("retrieve") == 1
    before = client.info("stats")["total_connections_received"]  # type: ignore[index] # not awaited
    for _ in range(5):
        assert queue.length("retrieve") == 1
        assert 0.0 <= queue.memory_share() < 1.0
    assert client.info("stats")["total_connections_received"] == before  # type: ignore[index] # not awaited
    for one in client.client_list():
        if one["id"] not in there and one["db"] == str(BROKER_DATABASE):
            client.client_kill_filter(_id=one["id"])
    assert queue.length("retrieve") == 1
    queue.close()


def test_lengths_are_right_beside_one_who_asks_the_workers(app: Celery) -> None:
    """Who waits for workers' answers consumes by a connection of the application's pool, and leaves it waiting."""
    queue = CeleryTaskQueue(app)
    queue.retrieve("waits")
    for _ in range(3):
        assert app.control.inspect(timeout=0.1).ping() is None
        assert queue.length("retrieve") == 1
        assert 0.0 <= queue.memory_share() < 1.0
    queue.close()


def test_a_channel_that_is_closed_while_it_sends_is_a_lost_connection(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One kill of Redis in a thousand meets it; the caller hears that the broker is away, and sends again."""
    queue = CeleryTaskQueue(app)
    queue.retrieve("first")
    with app.producer_pool.acquire(block=True) as producer:
        kind = type(producer.channel)
    put = kind._put

    def closed_first(channel: Any, *args: Any, **options: Any) -> None:
        monkeypatch.setattr(kind, "_put", put)
        channel.close()
        channel._put(*args, **options)

    monkeypatch.setattr(kind, "_put", closed_first)
    with pytest.raises(BrokerUnavailable, match="was closed while a message was sent"):
        queue.retrieve("second")
    queue.retrieve("third")
    assert taken(app, "retrieve", 2) == ["first", "third"]
