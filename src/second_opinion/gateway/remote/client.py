"""The remote client, put together."""

from types import TracebackType
from typing import Self

from second_opinion.gateway.remote.collections import RemoteCollectionCalls
from second_opinion.gateway.remote.connection import Connection
from second_opinion.gateway.remote.documents import RemoteDocumentCalls
from second_opinion.gateway.remote.evidence import RemoteEvidence
from second_opinion.gateway.remote.queries import RemoteQueryCalls


class RemoteClient(RemoteDocumentCalls, RemoteQueryCalls, RemoteCollectionCalls):
    """Everything that `Client` does, through a gateway. Safe to share between threads.

    A request that fails for a reason that may pass is tried again for some seconds, where that is safe. Errors are
    those that the gateway met, as the same classes; one that cannot be reached is `GatewayUnavailable`.

    Args:
        url: Where the gateway listens, such as `http://127.0.0.1:8100`.
        key: An API key; a gateway on loopback may do without.

    Attributes:
        evidence: Traces of past queries, judgements of their candidates, and what they say of a floor.

    Raises:
        InvalidRequest: If the URL is none.
    """

    def __init__(self, url: str, *, key: str | None = None) -> None:
        super().__init__(Connection(url, key))
        self.evidence = RemoteEvidence(self._connection)

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
