"""Ports on the loopback interface: whether one is taken, by whom, and which are free."""

import socket
from typing import Final

import psutil

from second_opinion.schemas.errors import PortInUse

LOOPBACK: Final = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def holder(port: int) -> str:
    """Say in a few words which program listens on `port`; "another program" when that cannot be seen."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:2] == (port,)
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"


def choose_port(server: str, wanted: int | None, default: int) -> int:
    """Return the port for `server`: the wanted one, else the default if free, else any free one.

    Args:
        server: Name for the message.
        wanted: A port that was asked for; 0 asks for any free one, None leaves the choice open.
        default: Used when nothing was asked for.

    Raises:
        PortInUse: The wanted port is taken.
    """
    if wanted == 0:
        return free_port()
    if wanted is None:
        return default if is_free(default) else free_port()
    if not is_free(wanted):
        option = f"--{server.lower()}-port 0"
        raise PortInUse(
            f"{server} cannot have port {wanted}: {holder(wanted)} listens there.",
            hint=f"Stop that program, or choose another port ({option} picks a free one).",
        )
    return wanted
