"""The remote client for asyncio. Waiting for a job takes no thread, only a connection."""

from second_opinion.gateway.async_client import AsyncClient
from second_opinion.gateway.remote.client import RemoteClient
from second_opinion.gateway.remote.connection import AsyncConnection
from second_opinion.gateway.remote.queries import wait_async
from second_opinion.schemas.job import Job


class AsyncRemoteClient(AsyncClient):
    """Everything that `AsyncClient` does, through a gateway.

    Args:
        url: Where the gateway listens, such as `http://127.0.0.1:8100`.
        key: An API key; a gateway on loopback may do without.

    Raises:
        InvalidRequest: If the URL is none.
    """

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self._connection = AsyncConnection(url, key)
        self._begin(RemoteClient(url, key=key))

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()
        await super().close()

    async def wait(self, job_id: str, *, timeout: float = 60.0) -> Job:  # noqa: ASYNC109 - the job outlives it
        """Wait for a job to end; return it as it is when `timeout` seconds are over, ended or not."""
        return await wait_async(self._connection, job_id, timeout)
