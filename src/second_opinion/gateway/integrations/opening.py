"""A client for a component that may have to open its own, so that it can be written down without one."""

import threading
from typing import Any

from second_opinion.gateway.client import Client
from second_opinion.schemas.errors import InvalidRequest


class OpenedClient:
    """The client of one component: the one that it was given, or its own, opened when it is first needed.

    Args:
        given: A client, which whoever gave it closes; None to open one by the settings of the process.
    """

    def __init__(self, given: Any = None) -> None:
        self._given = given
        self._own: Client | None = None
        self._lock = threading.Lock()

    def get(self) -> Any:
        """Return the client."""
        if self._given is not None:
            return self._given
        with self._lock:
            self._own = self._own or Client()
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
                hint="Leave the client out: the component then opens its own by the settings of its process.",
            )
