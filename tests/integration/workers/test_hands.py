"""What dead holders had in their hands goes back, on a real Redis and with kombu's own hands."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Queue

from second_opinion.pipeline.adapters.redis.hands import QUICK_RETURNS, RedisHands, Returned, transport_options
from second_opinion.workers.app import make_app
from second_opinion.workers.envelopes import UNREADABLE
from second_opinion.workers.front import producer_at_front
from second_opinion.workers.presence import holder_name
from second_opinion.workers.settings import Settings
from tests.acceptance.conftest import BROKER_DATABASE, redis_database, wait_until
from tests.conftest import Servers

ALIVE = 30.0
DEAD = -1.0


class Bench:
    """A broker, and holders that take from it as workers do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self.hands = RedisHands(redis.Redis.from_url(url))
        self.connections: list[Any] = []

    def app(self, holder: str | None = None) -> Celery:
        """Return an application, a holder's or any producer's."""
        app = make_app(Settings.model_validate({"broker_url": self.url}))
        if holder is not None:
            app.conf.broker_transport_options = {**app.conf.broker_transport_options, **transport_options(holder)}
        return app

    def send(self, name: str) -> None:
        """Send a message by its task's name."""
        self.app().send_task("opinion.accept", args=[{"name": name}])

    def put_at_front(self, name: str) -> None:
        """Send a message as work that has had its turn is sent."""
        with producer_at_front(app := self.app()) as producer:
            app.send_task("opinion.accept", args=[{"name": name}], producer=producer)

    def hold(self, holder: str, seconds: float, count: int = 1) -> list[Any]:
        """Take messages and keep them, as a worker that works on them does."""
        self.hands.live(holder, seconds)
        taken: list[Any] = []
        connection = self.app(holder).connection_for_read()
        self.connections.append(connection)
        consumer = connection.Consumer([Queue("intake")], callbacks=[lambda _, message: taken.append(message)])
        consumer.qos(prefetch_count=count)
        consumer.consume()
        while len(taken) < count:
            connection.drain_events(timeout=5.0)
        consumer.cancel()
        return taken

    def take_unseen(self, holder: str, seconds: float) -> Any:
        """Take a message and do not look at it, as a worker that ends or stands still at that moment; its channel."""
        self.hands.live(holder, seconds)
        connection = self.app(holder).connection_for_read()
        self.connections.append(connection)
        connection.Consumer([Queue("intake")], callbacks=[lambda *_: None]).consume()
        channel = connection.default_channel
        connection.transport.cycle.on_poll_start()
        wait_until(lambda: bool(self.client.llen(f"taken.{holder}")), 5.0)
        return channel

    def waiting(self) -> int:
        """Return how many messages wait."""
        return int(self.client.llen("intake"))  # type: ignore[arg-type] # not awaited


@pytest.fixture
def bench(servers: Servers) -> Iterator[Bench]:
    """An empty broker."""
    made = Bench(redis_database(servers.redis_url, BROKER_DATABASE))
    made.client.flushdb()
    yield made
    for connection in made.connections:
        connection.release()
    made.client.flushdb()


def test_a_dead_holder_gives_back_what_it_held(bench: Bench) -> None:
    """To the front, whole, and with nothing left of the holder; those of the living stay in their hands."""
    for name in ("first", "second", "third"):
        bench.send(name)
    bench.hold(dead := holder_name("intake"), DEAD)
    bench.hold(alive := holder_name("intake"), ALIVE)
    assert bench.hands.give_back() == Returned(restored=1)
    assert bench.waiting() == 2
    (again,) = bench.hold(holder_name("intake"), ALIVE)
    assert again.payload[0] == [{"name": "first"}]
    left = set(bench.client.scan_iter(match="unacked*"))
    assert not any(dead in key for key in left)
    assert any(alive in key for key in left)
    assert bench.hands.give_back() == Returned()


def test_what_comes_back_keeps_its_order_at_the_front(bench: Bench) -> None:
    """The oldest is next; what was abandoned later stays behind it, and what is put at the front after that, too."""
    for name in ("first", "second", "third", "ordinary"):
        bench.send(name)
    bench.hold(dead := holder_name("intake"), DEAD, count=2)
    bench.take_unseen(dead, DEAD)
    bench.put_at_front("abandoned later")
    assert bench.hands.give_back() == Returned(restored=3)
    bench.put_at_front("abandoned last")
    again = bench.hold(holder_name("intake"), ALIVE, count=6)
    expected = ["first", "second", "third", "abandoned later", "abandoned last", "ordinary"]
    assert [one.payload[0][0]["name"] for one in again] == expected


def test_what_is_acknowledged_does_not_come_back(bench: Bench) -> None:
    """A holder that was taken for dead, and finishes: before the return there is nothing to give back."""
    bench.send("only")
    (message,) = bench.hold(holder_name("intake"), DEAD)
    message.ack()
    assert bench.hands.give_back() == Returned()
    assert bench.waiting() == 0


def test_a_late_acknowledgement_takes_nothing_away(bench: Bench) -> None:
    """A holder that thaws after its message was given back can only acknowledge what it no longer holds."""
    bench.send("only")
    (message,) = bench.hold(holder_name("intake"), DEAD)
    assert bench.hands.give_back() == Returned(restored=1)
    message.ack()
    assert bench.waiting() == 1


def test_a_message_whose_holders_die_again_and_again_is_set_aside(bench: Bench) -> None:
    """After three quick returns it is left to kombu, which gives it back after the longest time of any task."""
    bench.send("poison")
    for _ in range(QUICK_RETURNS):
        bench.hold(holder_name("intake"), DEAD)
        assert bench.hands.give_back() == Returned(restored=1)
    bench.hold(holder_name("intake"), DEAD)
    assert bench.hands.give_back() == Returned(set_aside=1)
    assert bench.waiting() == 0
    ((_, since),) = bench.client.zrange("unacked_index", 0, -1, withscores=True)  # type: ignore[misc] # not awaited
    assert abs(since - time.time()) < ALIVE
    app = bench.app()
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "visibility_timeout": 0}
    with app.connection_for_read() as connection:
        connection.default_channel.qos.restore_visible(interval=1)
    assert bench.waiting() == 1


def test_two_that_look_after_the_dead_give_each_message_back_once(bench: Bench) -> None:
    """The holder's messages move in one step, so whoever is second finds nothing."""
    for number in range(5):
        bench.send(str(number))
    bench.hold(holder_name("intake"), DEAD, count=5)
    found = [bench.hands.give_back(), RedisHands(redis.Redis.from_url(bench.url)).give_back()]
    assert found == [Returned(restored=5), Returned()]
    assert bench.waiting() == 5


def test_a_channel_that_outlives_its_connection_is_a_lost_one(bench: Bench) -> None:
    """Closed with a message in its hands after the broker went away, it says so, and its worker connects again."""
    bench.send("one")
    bench.hold("holder", ALIVE)
    connection = bench.connections.pop()
    channel, errors = connection.default_channel, connection.connection_errors
    channel._disconnect_pools()
    connection.transport.client = None
    with pytest.raises(errors, match="the connection is gone"):
        channel.close()


def test_what_was_taken_and_not_looked_at_is_given_back(bench: Bench) -> None:
    """Between the queue and its taker's hands a message is in neither, with kombu's own way: it would be lost here."""
    bench.send("only")
    bench.take_unseen(dead := holder_name("intake"), DEAD)
    assert bench.waiting() == 0
    assert bench.hands.give_back() == Returned(restored=1)
    (again,) = bench.hold(holder_name("intake"), ALIVE)
    assert again.payload[0] == [{"name": "only"}]
    assert not any(dead in key for key in bench.client.scan_iter())


def test_a_taker_that_waits_takes_what_comes_in_one_step(bench: Bench) -> None:
    """A message that comes while a worker waits is not in a socket alone either."""
    holder = holder_name("intake")
    bench.hands.live(holder, DEAD)
    connection = bench.app(holder).connection_for_read()
    bench.connections.append(connection)
    connection.Consumer([Queue("intake")], callbacks=[lambda *_: None]).consume()
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.2)
    assert bench.waiting() == 0
    bench.send("late")
    wait_until(lambda: bool(bench.client.llen(f"taken.{holder}")), 5.0)
    assert bench.hands.give_back() == Returned(restored=1)


def test_what_a_lost_connection_took_along_comes_first_on_the_next(bench: Bench) -> None:
    """The holder lives, and only its connection is gone: nobody has to give anything back."""
    bench.send("first")
    bench.send("second")
    channel = bench.take_unseen(holder := holder_name("intake"), ALIVE)
    channel.client.connection.disconnect()
    first, second = bench.hold(holder, ALIVE, count=2)
    assert [one.payload[0][0]["name"] for one in (first, second)] == ["first", "second"]
    assert not bench.client.exists(f"taken.{holder}")


def test_what_is_taken_and_in_hands_already_comes_back_once(bench: Bench) -> None:
    """A holder that ends between writing down that it has a message and letting go of it has it twice."""
    bench.send("only")
    bench.hold(holder := holder_name("intake"), DEAD)
    (kept,) = bench.client.hvals(f"unacked.{holder}")  # type: ignore[misc] # not awaited
    bench.client.rpush(f"taken.{holder}", json.dumps(json.loads(kept)[0]))
    assert bench.hands.give_back() == Returned(restored=1)
    assert bench.waiting() == 1


def test_what_is_no_message_goes_back_as_it_is(bench: Bench) -> None:
    """Whoever takes it next counts it and leaves it; the rescue does not stumble over it."""
    for item in (b"", b"\xff\xfe", b"[1]", b'{"properties": {}}'):
        redis.Redis.from_url(bench.url).rpush("taken.intake:gone", item)
    bench.hands.live("intake:gone", DEAD)
    assert bench.hands.give_back() == Returned(restored=4)
    assert bench.waiting() == 4
    bench.send("sound")
    (message,) = bench.hold(holder_name("intake"), ALIVE)
    assert message.payload[0] == [{"name": "sound"}]
    assert bench.client.hgetall(UNREADABLE) == {"intake": "4"}


@pytest.mark.parametrize("priority", [0, 4, 9])
def test_messages_of_every_priority_are_taken(bench: Bench, priority: int) -> None:
    """A producer may set one; kombu keeps each step in a list of its own."""
    bench.app().send_task("opinion.accept", args=[{"name": "urgent"}], priority=priority)
    (message,) = bench.hold(holder_name("intake"), ALIVE)
    assert message.payload[0] == [{"name": "urgent"}]
