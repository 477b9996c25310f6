"""A real HTTP server on loopback, in its own threads, that remembers what it was asked."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    method: str = "POST"


class Exchange(BaseHTTPRequestHandler):
    """One connection; what is answered is the server's business."""

    protocol_version = "HTTP/1.1"
    server: "_Listener"

    def do_POST(self) -> None:
        """Read a request and let the server answer it; what is no JSON has no body."""
        content = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(content) if headers.get("content-type") == "application/json" else {}
        asked = Asked(self.path, headers, body, self.command)
        self.server.site.asked.append(asked)
        try:
            self.server.site.answer(self, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - the base's names

    def send_json(self, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer with JSON."""
        self.send_text(json.dumps(body), status, {"content-type": "application/json", **(headers or {})})

    def send_text(self, text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a text."""
        content = text.encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's form
        """Stay silent: tests look at what was asked instead."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    site: "Site"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about clients that go away in the middle, which is what some tests are about."""


class Site:
    """A server; `answer` is what it does."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self._listener = _Listener(("127.0.0.1", 0), Exchange)
        self._listener.site = self
        self._thread = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    def answer(self, exchange: Exchange, asked: Asked) -> None:
        """Answer one request."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Listen no longer; may be called again."""
        self.stopping.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()
