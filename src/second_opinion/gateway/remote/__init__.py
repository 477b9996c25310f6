"""The client on the other side of an HTTP gateway: the same calls, the same types, the same errors.

from second_opinion import Client

with Client.connect("http://127.0.0.1:8100", key="so_...") as client:
    result = client.query("who approves refunds?")
"""

from second_opinion.schemas.errors import ExtraMissing

try:
    from second_opinion.gateway.remote.client import RemoteClient
except ImportError as problem:
    if problem.name != "httpx":
        raise
    raise ExtraMissing.of("http", "httpx") from problem

__all__ = ["RemoteClient"]
