"""A provider of rerank scores that fails on purpose, in the ways in which providers fail."""

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.servers.web import Asked, Exchange, Site

Fault = Callable[[Exchange, Asked], None]
KEY = "a-secret-key-that-nobody-may-see-4711"


class FaultyProvider(Site):
    """Does what `plan` says, one fault a request; then answers well, the first passage best.

    Answers have the contract of the request: `texts` get a bare list, `documents` get `results`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.plan: deque[Fault] = deque()
        self.always: Fault | None = None

    def answer(self, exchange: Exchange, asked: Asked) -> None:
        """Fail as planned, or answer well."""
        fault = self.always or (self.plan.popleft() if self.plan else well)
        fault(exchange, asked)


def good_scores(asked: Asked) -> list[dict[str, Any]]:
    """Return a whole and usable list of scores, best first."""
    name = "score" if "texts" in asked.body else "relevance_score"
    texts = asked.body.get("texts") or asked.body["documents"]
    return [{"index": index, name: 1.0 / (1.0 + index)} for index in range(len(texts))]


def send(exchange: Exchange, asked: Asked, items: list[dict[str, Any]]) -> None:
    """Answer with these scores."""
    exchange.send_json(items if "texts" in asked.body else {"id": "1", "results": items, "meta": {}})


def well(exchange: Exchange, asked: Asked) -> None:
    """Answer well."""
    send(exchange, asked, good_scores(asked))


def status(code: int, body: object = None, **headers: str) -> Fault:
    """Answer with a status."""

    def fault(exchange: Exchange, asked: Asked) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.send_json({"message": "not now"} if body is None else body, code, named)

    return fault


def text(content: str, code: int = 200) -> Fault:
    """Answer with something that is no list of scores."""

    def fault(exchange: Exchange, asked: Asked) -> None:
        exchange.send_text(content, code, {"content-type": "text/html"})

    return fault


def spoiled(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Fault:
    """Answer with a good list of scores that something was done to."""

    def fault(exchange: Exchange, asked: Asked) -> None:
        send(exchange, asked, change(good_scores(asked)))

    return fault


def scored(value: object) -> Fault:
    """Answer with a good list of scores whose first score is this."""

    def change(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        name = next(key for key in items[0] if key != "index")
        return [{**items[0], name: value}, *items[1:]]

    return spoiled(change)


def hang(exchange: Exchange, asked: Asked) -> None:
    """Never answer."""
    exchange.server.site.stopping.wait()
    exchange.close_connection = True


def hang_after(count: int) -> Fault:
    """Send so many bytes of an answer and no more."""

    def fault(exchange: Exchange, asked: Asked) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"[:count])
        hang(exchange, asked)

    return fault


def drop(exchange: Exchange, asked: Asked) -> None:
    """Close the connection without a word."""
    exchange.connection.shutdown(socket.SHUT_RDWR)
    exchange.close_connection = True


def drop_in_the_middle(exchange: Exchange, asked: Asked) -> None:
    """Announce a long answer, begin it, and close the connection."""
    exchange.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"results": [')
    drop(exchange, asked)


def drip_body(exchange: Exchange, asked: Asked) -> None:
    """Send a long answer, a byte every 50 ms."""
    _drip(exchange, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b" " * 1_000)


def drip_head(exchange: Exchange, asked: Asked) -> None:
    """Send the head of an answer, a byte every 50 ms."""
    _drip(exchange, b"", b"HTTP/1.1 200 OK\r\n" + b"x-padding: 0000000000\r\n" * 100)


def _drip(exchange: Exchange, at_once: bytes, slowly: bytes) -> None:
    exchange.wfile.write(at_once)
    exchange.close_connection = True
    for byte in slowly:
        if exchange.server.site.stopping.wait(0.05):
            return
        exchange.wfile.write(bytes([byte]))
