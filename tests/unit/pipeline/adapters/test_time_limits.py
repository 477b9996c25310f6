"""Limits of the drivers hold against servers that send a little now and then, and against answers that are cut off."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ConnectionOptions
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.redis.connection import connect, redis_errors
from second_opinion.pipeline.time_budget import within
from second_opinion.schemas.errors import JobStoreUnavailable, StoreUnavailable

pytestmark = pytest.mark.alone

PAUSE_SECONDS = 0.05
SLACK_SECONDS = 1.0
HEAD = (
    b"HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n"
)

Answer = Callable[[socket.socket], None]


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """Answer whatever is asked in this way, on a port of loopback."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(asked: socket.socket) -> None:
        with asked, suppress(OSError):
            while asked.recv(65_536):
                answer(asked)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield listener.getsockname()[1]


def slowly(data: bytes) -> Answer:
    """Send one byte after the other."""

    def answer(asked: socket.socket) -> None:
        for byte in data:
            asked.sendall(bytes([byte]))
            time.sleep(PAUSE_SECONDS)

    return answer


def cut_off(data: bytes) -> Answer:
    """Send this and hang up."""

    def answer(asked: socket.socket) -> None:
        asked.sendall(data)
        asked.shutdown(socket.SHUT_RDWR)

    return answer


def whole(status: bytes, body: bytes) -> bytes:
    """Return an answer with this status line's end and this body."""
    head = HEAD.replace(b"200 OK", status).replace(b"length: 1000", b"length: %d" % len(body))
    return head + b"\r\n" + body


def waiting(times: int) -> Answer:
    """Ask so many times to wait, then answer."""
    answers = iter([whole(b"503 Service Unavailable", b'{"error": {"reason": "all shards failed"}}')] * times)

    def answer(asked: socket.socket) -> None:
        asked.sendall(next(answers, whole(b"200 OK", b'{"found": true}')))

    return answer


def ask_elasticsearch(port: int, *, timeout: float) -> None:
    """Send a request that may be tried again."""
    connection = Connection(ConnectionOptions(urls=(f"http://127.0.0.1:{port}",), timeout=timeout))
    with store_errors():
        connection.reads.get(index="none", id="1")


@pytest.mark.parametrize("data", [HEAD * 20, HEAD + b"\r\n" + b" " * 1_000], ids=["headers", "body"])
def test_an_answer_of_elasticsearch_that_trickles_in_ends_at_the_limit(data: bytes) -> None:
    """Every byte is early enough by itself; the request is over at its limit all the same, its tries included."""
    with server(slowly(data)) as port:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            ask_elasticsearch(port, timeout=0.5)
        assert 0.4 < time.monotonic() - begun < 0.5 + SLACK_SECONDS


@pytest.mark.parametrize("length", range(17, len(HEAD), 7))
def test_an_answer_of_elasticsearch_that_is_cut_off_among_its_headers_is_none(length: int) -> None:
    """Python takes the end of the connection for the end of the headers, and an empty answer for a whole one."""
    with server(cut_off(HEAD[:length])) as port, pytest.raises(StoreUnavailable):
        ask_elasticsearch(port, timeout=5.0)


def test_a_shard_that_is_about_to_start_is_waited_for() -> None:
    """The first traces of a day make an index; who reads just then is not told that Elasticsearch is unavailable."""
    with server(waiting(times=4)) as port:
        begun = time.monotonic()
        ask_elasticsearch(port, timeout=10.0)
        assert time.monotonic() - begun > 0.5


def test_who_has_no_time_to_wait_is_told_at_once() -> None:
    """A pause that the request's time does not hold is not begun."""
    with server(waiting(times=100)) as port:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="all shards failed"):
            ask_elasticsearch(port, timeout=1.0)
        assert time.monotonic() - begun < 1.0


def test_a_write_is_never_sent_twice() -> None:
    """Whoever wrote decides anew from what is stored."""
    with server(waiting(times=1)) as port:
        connection = Connection(ConnectionOptions(urls=(f"http://127.0.0.1:{port}",), timeout=10.0))
        with pytest.raises(StoreUnavailable), store_errors():
            connection.writes.delete(index="none", id="1")


def test_a_reply_of_redis_that_trickles_in_ends_at_the_limit() -> None:
    """The command is not sent again either."""
    with server(slowly(b"$1000\r\n" + b"x" * 1_000)) as port:
        client = connect(f"redis://127.0.0.1:{port}/0", timeout=0.5)
        begun = time.monotonic()
        with pytest.raises(JobStoreUnavailable), redis_errors():
            client.get("key")
        assert 0.4 < time.monotonic() - begun < 0.5 + SLACK_SECONDS


def test_a_call_is_over_when_its_time_is() -> None:
    """However long a request may take by itself."""
    with server(slowly(b"$1000\r\n" + b"x" * 1_000)) as port:
        client = connect(f"redis://127.0.0.1:{port}/0", timeout=30.0)
        begun = time.monotonic()
        with pytest.raises(JobStoreUnavailable), redis_errors(), within(0.5):
            client.get("key")
        assert time.monotonic() - begun < 0.5 + SLACK_SECONDS
        with pytest.raises(StoreUnavailable), within(0.0):
            ask_elasticsearch(port, timeout=30.0)
