"""The resources, on indices that all tests of this folder share: making new ones takes seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import System
from tests.conftest import Servers
from tests.integration.http.conftest import Served, serving, system_of


@contextmanager
def two_collections(servers: Servers, folder: Path) -> Iterator[System]:
    """Indices and Redis databases with a handbook and secrets; no worker runs."""
    with system_of(servers, folder) as made:
        client = made.client()
        for name in ("handbook", "secrets"):
            client.set_collection(name)
        client.close()
        yield made


@pytest.fixture(scope="package")
def shared_system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Indices and Redis databases of this folder."""
    with two_collections(servers, tmp_path_factory.mktemp("resources")) as made:
        yield made


@pytest.fixture
def bare_system(shared_system: System) -> Iterator[System]:
    """The shared indices; keys that a test makes are revoked behind it, so that loopback is open to the next."""
    yield shared_system
    client = shared_system.client()
    for key in client.parts.api_keys.listed():
        client.parts.api_keys.revoke(key.id, at=0.0)
    client.close()


@pytest.fixture(scope="package")
def served(shared_system: System) -> Iterator[Served]:
    """A real server on the shared indices."""
    with serving(shared_system) as made:
        yield made
