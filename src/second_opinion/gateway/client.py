"""The Python client: documents in, judged answers out.

    from second_opinion import Client

    with Client() as client:
        client.submit_document(id="refunds", title="Refunds", text="A manager approves refunds above 100 euros.")
        client.wait_document("refunds")
        result = client.query("who approves refunds?")

Documents are accepted in the caller's own process: when `submit_document` returns, Elasticsearch has the document.
`Client.connect("http://host:8100", key=...)` does the same through a gateway, and needs to reach nothing else.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from second_opinion.gateway.calls import DocumentLike, result_of
from second_opinion.gateway.direct.collections import CollectionCalls
from second_opinion.gateway.direct.documents import DocumentCalls
from second_opinion.gateway.direct.queries import QueryCalls
from second_opinion.gateway.evidence import Evidence, EvidenceStores
from second_opinion.gateway.parts import Parts, connect
from second_opinion.workers.settings import Settings, load_settings

if TYPE_CHECKING:
    from second_opinion.gateway.remote import RemoteClient

__all__ = ["Client", "DocumentLike", "result_of"]


class Client(DocumentCalls, QueryCalls, CollectionCalls):
    """Everything a caller does. Safe to share between threads.

    Args:
        settings: Where the servers are; by default the environment, then the local stack.
        parts: The connections to use, when a test or a program has made them itself.

    Attributes:
        parts: The connections.
        evidence: Traces of past queries, judgements of their candidates, and what they say of a floor.

    Errors are those of `second_opinion.schemas.errors`: transient ones may be tried again.
    """

    def __init__(self, settings: Settings | None = None, *, parts: Parts | None = None) -> None:
        super().__init__(parts or connect(settings or load_settings()))
        stores = self.parts.stores
        self.evidence = Evidence(
            EvidenceStores(
                traces=self.parts.traces,
                judgements=self.parts.judgements,
                jobs=self.parts.jobs,
                chunks=stores.chunks,
                collections=stores.collections,
                clock=stores.clock,
            ),
            floor_of=lambda collection: self.parts.queries.choices(collection).floor,
            call_seconds=self.call_seconds,
        )

    @staticmethod
    def connect(url: str, *, key: str | None = None) -> "RemoteClient":
        """Return a client with the same calls that speaks to a gateway over HTTP; nothing is sent yet.

        Args:
            url: Where the gateway listens, such as `http://127.0.0.1:8100`.
            key: An API key; a gateway on loopback may do without.

        Raises:
            InvalidRequest: If the URL is none.
            ExtraMissing: If httpx is not installed.
        """
        from second_opinion.gateway.remote import RemoteClient  # noqa: PLC0415 - httpx is an extra

        return RemoteClient(url, key=key)

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
        self.parts.close()
