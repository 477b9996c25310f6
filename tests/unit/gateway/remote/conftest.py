"""A scripted gateway and its client."""

from collections.abc import Iterator

import pytest

from second_opinion import Client
from second_opinion.gateway.remote import RemoteClient
from tests.unit.gateway.remote.scripted import KEY, ScriptedGateway


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    """A gateway that does what its script says."""
    with ScriptedGateway() as made:
        yield made


@pytest.fixture
def client(gateway: ScriptedGateway) -> Iterator[RemoteClient]:
    """A client of it."""
    with Client.connect(gateway.url, key=KEY) as made:
        yield made
