"""First fills of collections through a gateway."""

from second_opinion.gateway.remote.connection import Connection
from second_opinion.gateway.remote.requests import GatewayRequest, path_of
from second_opinion.pipeline.ports import Clock


class RemoteLoads:
    """Implements `LoadKeeper` by asking a gateway, whose clock need not be ours: seconds from now are sent."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def begin_load(self, name: str, *, until: float) -> None:
        """Begin a load, or let one go on."""
        body = {"seconds": max(1.0, until - self._clock.now())}
        self._connection.ask(GatewayRequest("PUT", path_of("v1", "collections", name, "load"), body=body))

    def end_load(self, name: str) -> None:
        """End a load."""
        self._connection.ask(GatewayRequest("DELETE", path_of("v1", "collections", name, "load")))
