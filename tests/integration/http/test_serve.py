"""`opinion serve` as a process: how it starts, how it is refused, how it ends."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from second_opinion.gateway.http import server
from second_opinion.gateway.http.app import make_app
from tests.acceptance.conftest import System, wait_until
from tests.conftest import Servers
from tests.integration.http.conftest import system_of

pytestmark = pytest.mark.stack

START_SECONDS = 90.0


class Process:
    """A gateway process and what it writes."""

    def __init__(self, system: System, folder: Path, *arguments: str, **environment: str) -> None:
        self.log = folder / "gateway.log"
        self.ready = folder / "gateway.ready"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "second_opinion.gateway", "serve", "--port", "0", *arguments],
                env={**os.environ, **system.environment, "OPINION_READY_FILE": str(self.ready), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def text(self) -> str:
        """All it wrote."""
        return self.log.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        """Where it listens, once it says so."""
        wait_until(
            lambda: "Gateway: http" in self.text or self.popen.poll() is not None, START_SECONDS, lambda: self.text
        )
        found = re.search(r"Gateway: (http://\S+)", self.text)
        assert found is not None, self.text
        return found[1]

    def lines(self) -> list[dict[str, object]]:
        """Its log lines."""
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]


@contextmanager
def process(system: System, folder: Path, *arguments: str, **environment: str) -> Iterator[Process]:
    """Run a gateway until the context ends."""
    made = Process(system, folder, *arguments, **environment)
    try:
        yield made
    finally:
        made.popen.kill()
        made.popen.wait(10)


def test_it_serves_says_so_and_ends_well(bare_system: System, tmp_path: Path) -> None:
    """Its ready file is fresh while it lives; whoever waits when it is stopped is told so, and when to come back."""
    bare_system.opinion("collections", "set", "handbook", "--floor", "0.5")
    with process(bare_system, tmp_path) as gateway, httpx.Client(base_url=gateway.url, timeout=60.0) as caller:
        assert caller.get("/readyz").json()["status"] == "ready"
        assert time.time() - gateway.ready.stat().st_mtime < 30.0
        asked = caller.post(
            "/v1/queries", json={"text": "who?", "collection": "handbook"}, headers={"X-Request-Id": "web-17"}
        )
        assert asked.status_code == 202, asked.text
        heard: list[httpx.Response] = []

        def wait() -> None:
            with httpx.Client(base_url=gateway.url, timeout=60.0) as waiter:
                heard.append(waiter.get(asked.headers["location"], headers={"Prefer": "wait=50"}))

        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(lambda: "opinion_gateway_waiting_callers 1.0" in caller.get("/metrics").text, 20.0)
        began = time.monotonic()
        gateway.popen.send_signal(signal.SIGTERM)
        assert gateway.popen.wait(20) == 0, gateway.text
        waiting.join(10)
        assert time.monotonic() - began < 15.0
        assert (heard[0].status_code, heard[0].json()["code"]) == (503, "gateway_stopping")
        assert heard[0].headers["retry-after"] == "2"
        assert not gateway.ready.exists()
        (line,) = [one for one in gateway.lines() if one.get("request_id") == "web-17" and one["event"] == "request"]
        assert (line["route"], line["status"], line["key"]) == ("/v1/queries", 202, "local")


def test_it_refuses_to_be_open_to_other_machines(bare_system: System, tmp_path: Path) -> None:
    """Without a key it does not listen there; with one it does, and asks for it."""
    refused = bare_system.opinion("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104
    assert refused.returncode == 2, refused.stderr
    assert "there is no API key" in refused.stderr
    assert "opinion keys create" in refused.stderr
    made = bare_system.opinion("keys", "create", "website", "--scope", "query", "--collection", "*")
    with process(bare_system, tmp_path, "--host", "0.0.0.0") as gateway:  # noqa: S104
        url = gateway.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        assert httpx.get(f"{url}/v1/about").status_code == 401
        with_key = httpx.get(f"{url}/v1/about", headers={"Authorization": f"Bearer {made.stdout.strip()}"})
        assert with_key.status_code == 200
    assert made.stdout.strip() not in gateway.text


def test_it_starts_closed_when_told_to(bare_system: System, tmp_path: Path) -> None:
    """Where no key exists yet, --require-keys lets nobody in, on loopback neither."""
    with process(bare_system, tmp_path, "--require-keys") as gateway:
        assert httpx.get(f"{gateway.url}/healthz").status_code == 200
        for path in ("/v1/about", "/metrics", "/openapi.json"):
            assert httpx.get(gateway.url + path).status_code == 401, path


def test_a_port_that_is_taken_is_told(bare_system: System) -> None:
    """With what to do."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        refused = bare_system.opinion("serve", "--port", str(holder.getsockname()[1]))
    assert refused.returncode == 4, refused.stderr
    assert "cannot listen on 127.0.0.1" in refused.stderr
    assert "--port 0" in refused.stderr


def test_a_connection_without_a_whole_request_is_closed(bare_system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a header holds no place for ever; a request that is being answered may take as long as it takes."""
    monkeypatch.setattr(server, "SILENT_SECONDS", 1.0)
    bare_system.opinion("collections", "set", "handbook", "--floor", "0.5")
    begun, app = threading.Event(), make_app(bare_system.settings)
    running = server.make_server(app, begun.set)
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        assert begun.wait(30)
        with (
            socket.create_connection(address, timeout=20) as silent,
            socket.create_connection(address, timeout=20) as half,
            httpx.Client(base_url=f"http://127.0.0.1:{address[1]}", timeout=60.0) as caller,
        ):
            half.sendall(b"GET /v1/about HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            job = caller.post("/v1/queries", json={"text": "who?", "collection": "handbook"}).json()["job_id"]
            waited = caller.get(f"/v1/queries/{job}", headers={"Prefer": "wait=5"})
            assert (waited.status_code, waited.json()["state"]) == (200, "queued")
            busy = http.client.HTTPConnection(*address, timeout=20)
            until = time.monotonic() + 3.0
            while time.monotonic() < until:
                busy.request("GET", "/healthz")
                assert busy.getresponse().read() == b'{"status":"ok"}'
                time.sleep(0.02)
            busy.close()
            assert silent.recv(100) == b""
            assert half.recv(100) == b""
    finally:
        running.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def working(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with the workers that documents and queries pass."""
    with system_of(servers, tmp_path_factory.mktemp("working")) as system:
        system.start("index", "retrieve", "rerank")
        yield system


@pytest.mark.skipif(shutil.which("curl") is None and os.environ.get("CI") != "true", reason="needs curl")
def test_the_examples_of_the_page_run_as_they_stand(working: System, tmp_path: Path) -> None:
    """Sent, searchable, asked and answered, by what a reader copies."""
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "http.md").read_text(encoding="utf-8")
    example = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)[0]
    assert "curl" in example
    with process(working, tmp_path) as gateway:
        script = re.sub(r"url=\S+", f"url={gateway.url}", example).replace("curl -s", "echo; curl -sS --fail-with-body")
        ran = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    receipt, status, job = (json.loads(line) for line in ran.stdout.splitlines() if line)
    assert receipt["outcome"] == "accepted"
    assert status["state"] == "indexed"
    assert job["result"]["outcome"] == "answered", job


def test_the_request_id_reaches_the_workers_log_lines(working: System, tmp_path: Path) -> None:
    """Of a document through to its index worker, of a query through both of its stages."""
    with process(working, tmp_path) as gateway, httpx.Client(base_url=gateway.url, timeout=90.0) as caller:
        sent = caller.post(
            "/v1/documents",
            json={"id": "travel", "text": "The finance team books every journey by train."},
            headers={"X-Request-Id": "crawl-4"},
        )
        assert sent.status_code == 202, sent.text
        wait_until(lambda: "crawl-4" in working.of("index")[0].log, 90.0)
        ended = caller.post(
            "/v1/queries",
            json={"text": "who approves refunds?"},
            headers={"X-Request-Id": "web-5", "Prefer": "wait=60"},
        )
        assert ended.status_code == 200, ended.text
        for role in ("retrieve", "rerank"):
            worker = working.of(role)[0]
            wait_until(lambda worker=worker: "web-5" in worker.log, 20.0)  # type: ignore[misc]
            (line,) = [json.loads(line) for line in worker.log.splitlines() if "web-5" in line]
            assert line["event"] == "task_done"
