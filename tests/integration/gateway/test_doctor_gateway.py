"""What the doctor says of the HTTP gateway."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from second_opinion.gateway.doctor.findings import Finding, Level
from second_opinion.gateway.doctor.gateway import check_gateway
from second_opinion.schemas.access import NewKey
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_elasticsearch
from tests.integration.gateway.conftest import System
from tests.integration.http.conftest import serving

pytestmark = pytest.mark.stack


def findings(settings: Settings) -> dict[str, Finding]:
    """Return what is found, by its part."""
    return {found.part: found for found in check_gateway(settings)}


@contextmanager
def answering(what: bytes) -> Iterator[int]:
    """A server of another kind; the port it listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(10_000)
                peer.sendall(what)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_a_gateway_that_runs_is_well(bare_system: System) -> None:
    """By its own word that it can work."""
    with serving(bare_system) as served:
        port = int(served.url.rpartition(":")[2])
        found = findings(bare_system.settings.model_copy(update={"gateway_port": port}))
    assert (found["gateway"].level, found["gateway"].told) == (Level.OK, f"ready on 127.0.0.1:{port}")


def test_none_is_no_fault(bare_system: System) -> None:
    """It is optional; how to start one is told."""
    found = findings(bare_system.settings.model_copy(update={"gateway_port": 9}))
    assert found["gateway"].level is Level.OK
    assert "opinion serve" in found["gateway"].told


@pytest.mark.parametrize("what", [b"SSH-2.0-other\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"])
def test_another_program_in_its_place_is_told(bare_system: System, what: bytes) -> None:
    """Whatever it answers."""
    with answering(what) as port:
        found = findings(bare_system.settings.model_copy(update={"gateway_port": port}))
    assert found["gateway"].level is Level.WARNING


def test_keys_that_soon_expire_and_keys_that_are_missing_are_told(bare_system: System) -> None:
    """On an address for other machines nobody comes in without one."""
    open_to_all = bare_system.settings.model_copy(update={"gateway_host": "0.0.0.0", "gateway_port": 9})  # noqa: S104
    assert findings(open_to_all)["api keys"].level is Level.FAILED
    stores, now = open_elasticsearch(bare_system.settings), time.time()
    key = NewKey.make("website", scopes=("query",), collections=("*",), now=now, expires_at=now + 3_600).key
    stores.api_keys.create(key)
    found = findings(open_to_all)["api keys"]
    assert found.level is Level.WARNING
    assert "website" in found.told
    stores.api_keys.revoke(key.id, at=now)
    stores.connection.close()
    assert findings(open_to_all)["api keys"].level is Level.FAILED
