"""A client for a component that may have to open its own, so that it can be written down without one."""

import threading
from collections.abc import Callable
from typing import Any

from second_opinion.gateway.client import Client
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.workers.settings import load_settings


class OpenedClient:
    """The client of one component: the one that it was given, or its own, opened when it is first needed.

    Args:
        given: A client, which whoever gave it closes; None to open one.
        gateway_url: Where the gateway of a client of its own listens; None leaves it to the settings, which name a
            gateway or the servers themselves.
        key: Returns the API key for that gateway; None leaves it to the settings too.

    Raises:
        InvalidRequest: If both a client and a gateway are given.
    """

    def __init__(
        self, given: Any = None, *, gateway_url: str | None = None, key: Callable[[], str | None] = lambda: None
    ) -> None:
        if given is not None and gateway_url is not None:
            raise InvalidRequest("a component was given both a client and a gateway", hint="Give one of them.")
        self._given = given
        self._gateway_url = gateway_url
        self._key = key
        self._own: OpinionClient | None = None
        self._lock = threading.Lock()

    def get(self) -> Any:
        """Return the client."""
        if self._given is not None:
            return self._given
        with self._lock:
            self._own = self._own or self._open()
            return self._own

    def close(self) -> None:
        """Close the client if it is the component's own; it is opened anew when it is needed again."""
        with self._lock:
            if self._own is not None:
                self._own.close()
            self._own = None

    def require_own(self) -> None:
        """Make sure that the component can be written down.

        Raises:
            InvalidRequest: If it was given a client: read again, it would have another.
        """
        if self._given is not None:
            raise InvalidRequest(
                "a component that was given a client cannot be written down",
                hint="Leave the client out, or name a gateway: the component then opens its own.",
            )

    def _open(self) -> OpinionClient:
        settings = load_settings()
        url, known = self._gateway_url or settings.gateway_url, settings.gateway_key
        if not url:
            return Client(settings)
        return Client.connect(url, key=self._key() or (known.get_secret_value() if known else None))
