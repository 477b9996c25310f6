"""Choosing ports on a machine where some are taken."""

import os
import socket
from collections.abc import Iterator

import pytest

from second_opinion.ops.ports import LOOPBACK, choose_port, free_port, is_free
from second_opinion.schemas.errors import PortInUse


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_wanted_port_that_is_taken_names_its_holder(taken: int) -> None:
    """The message says which program and process to look for, and how to do without that port."""
    with pytest.raises(PortInUse, match=rf"Redis cannot have port {taken}: .*pid {os.getpid()}") as caught:
        choose_port("Redis", taken, 1)
    assert "--redis-port 0" in caught.value.hint


def test_a_taken_default_gives_way_to_a_free_port(taken: int) -> None:
    """Somebody else's server on the usual port does not stop a newcomer."""
    chosen = choose_port("Redis", None, taken)
    assert chosen != taken
    assert is_free(chosen)


def test_a_free_default_is_taken() -> None:
    """Addresses stay the same from day to day where nothing is in the way."""
    default = free_port()
    assert choose_port("Redis", None, default) == default


def test_zero_picks_any_free_port() -> None:
    """Stacks side by side need no arithmetic."""
    assert is_free(choose_port("Redis", 0, 1))
