"""Ending an exchange over a socket at its time, although bytes still come.

A socket's own timeout begins anew with every byte. So one thread for the process looks at all exchanges that are under
way and shuts the sockets of those that are over; whoever reads there hears at once that the connection has ended.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

LOOK_SECONDS: Final = 0.1

FindSocket = Callable[[], socket.socket | None]


class Exchange:
    """One request and its answer.

    Args:
        until: When it is over (monotonic seconds).
        find_socket: Returns its socket as it is at that moment; None when there is none.
    """

    def __init__(self, until: float, find_socket: FindSocket) -> None:
        self.find_socket = find_socket
        self._until = until

    @property
    def is_over(self) -> bool:
        """Whether its time is."""
        return time.monotonic() >= self._until

    def end(self) -> None:
        """Shut its socket; beneath TLS, whose own shutdown must not be called beside a thread that reads."""
        found = self.find_socket()
        if found is not None:
            with suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)


class _Keeper:
    """The thread that looks. It starts with the first exchange, and anew in a forked child."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._under_way: dict[int, Exchange] = {}
        self._some = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, exchange: Exchange) -> None:
        if self._pid != os.getpid():
            self._begin()
        self._under_way[id(exchange)] = exchange
        self._some.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._look, name="socket-limits", daemon=True)
                    self._thread.start()

    def remove(self, exchange: Exchange) -> None:
        self._under_way.pop(id(exchange), None)

    def _look(self) -> None:
        while True:
            self._some.wait()
            time.sleep(LOOK_SECONDS)
            self._some.clear()
            for exchange in list(self._under_way.values()):
                self._some.set()
                if exchange.is_over:
                    exchange.end()


_KEEPER: Final = _Keeper()


@contextmanager
def ended_after(seconds: float, find_socket: FindSocket) -> Iterator[Exchange]:
    """End what this thread exchanges over a socket after so many seconds; it is late by `LOOK_SECONDS` at most."""
    exchange = Exchange(time.monotonic() + seconds, find_socket)
    _KEEPER.add(exchange)
    try:
        yield exchange
    finally:
        _KEEPER.remove(exchange)
