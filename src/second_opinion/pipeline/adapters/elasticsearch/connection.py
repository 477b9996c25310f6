"""The client, made in one place: timeouts, credentials, and what may be tried twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from elastic_transport.client_utils import DEFAULT
from elasticsearch import Elasticsearch

from second_opinion.pipeline.adapters.elasticsearch.timed import TimedNode, TimedTransport

READ_RETRIES: Final = 2
CONNECTIONS: Final = 32


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Where Elasticsearch is and how to get in.

    Attributes:
        urls: One or more URLs of the same cluster.
        password: With `username`; or `api_key` instead of both.
        ca_certs: CA file for TLS; the system's when left out.
        timeout: Seconds that one request may take, its tries included.
    """

    urls: tuple[str, ...]
    username: str | None = None
    password: str | None = None
    api_key: str | None = None
    ca_certs: Path | None = None
    timeout: float = 10.0


class Connection:
    """One client for the process, with two faces.

    Attributes:
        writes: Never tries twice by itself: a compare-and-set that was applied before its answer got lost would come
            back as a conflict with itself. Whoever wrote decides anew from what is stored.
        reads: Tries again when a node does not answer, and after a pause when it asks to wait.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self.writes: Final = _client(options)
        self.reads: Final = self.writes.options(
            max_retries=READ_RETRIES, retry_on_status=(429, 502, 503, 504), retry_on_timeout=False
        )

    def close(self) -> None:
        """Close all connections."""
        self.writes.close()


def _client(options: ConnectionOptions) -> Elasticsearch:
    credentials = (options.username, options.password or "") if options.username else None
    return Elasticsearch(
        list(options.urls),
        basic_auth=credentials,
        api_key=options.api_key if credentials is None else None,
        ca_certs=str(options.ca_certs) if options.ca_certs is not None else DEFAULT,
        request_timeout=options.timeout,
        connections_per_node=CONNECTIONS,
        max_retries=0,
        retry_on_timeout=False,
        node_class=TimedNode,
        transport_class=TimedTransport,
    )
