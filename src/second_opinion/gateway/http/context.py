"""What every request of one gateway process shares."""

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar, cast

from starlette.requests import HTTPConnection

from second_opinion.gateway.client import Client
from second_opinion.gateway.http.keyring import Keyring
from second_opinion.gateway.http.rerank import RerankDesk
from second_opinion.gateway.http.waiting import Waiting
from second_opinion.gateway.parts import Parts
from second_opinion.schemas.job import Job
from second_opinion.workers.settings import Settings

CALLS_AT_ONCE: Final = 32

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Gateway:
    """One gateway process.

    Attributes:
        settings: Where the servers are, and the gateway's own choices.
        client: Everything a caller does; its calls block, so they go through `run`.
        keys: Who may come in.
        rerank: What puts callers' own passages in order.
        waiting: Callers that wait for something to end, and the word that the gateway is being stopped.
        started_at: Unix seconds.
        more: What single routes keep for the whole process, by a name of their own.
    """

    settings: Settings
    client: Client
    keys: Keyring
    rerank: RerankDesk
    waiting: Waiting = field(default_factory=Waiting)
    started_at: float = field(default_factory=time.time)
    more: dict[str, Any] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="opinion-gateway")
    )

    @property
    def parts(self) -> Parts:
        """The connections behind the client."""
        return self.client.parts

    async def run(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Run a call that talks to a server in a thread, with this request's log context.

        The number of threads is bounded: further calls wait in line, and a caller that leaves gives up its place.
        """
        context = contextvars.copy_context()
        bound: Callable[[], T] = partial(context.run, partial(call, *args, **options))
        return await asyncio.get_running_loop().run_in_executor(self._threads, bound)

    async def wait_job(self, job_id: str, seconds: float) -> Job:
        """Wait for a job to end, at most `seconds`; return it as it then is, ended or not. Takes no thread.

        Raises:
            UnknownJob: If there is none of this id, or its result has expired.
            GatewayStopping: If the gateway is stopped meanwhile; the job goes on.
        """
        return await self.waiting.until(self.parts.jobs.wait_async(job_id, seconds))

    async def until(self, awaited: Awaitable[T]) -> T:
        """Await something that may take long; end with `GatewayStopping` when the gateway is stopped meanwhile."""
        return await self.waiting.until(awaited)

    async def close(self) -> None:
        """Give the connections back."""
        self.waiting.stop()
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self.rerank.close)
        await asyncio.to_thread(self.client.close)


def gateway(connection: HTTPConnection) -> Gateway:
    """Return the gateway that a request came to."""
    return cast("Gateway", connection.app.state.gateway)


async def gateway_held(connection: HTTPConnection) -> Gateway:
    """Return the same, as a FastAPI dependency."""
    return gateway(connection)


@asynccontextmanager
async def opened(held: Gateway) -> AsyncIterator[None]:
    """Load what is to be loaded before the first request, and close the gateway when its server ends."""
    try:
        if held.settings.gateway_rerank == "start":
            await asyncio.to_thread(held.rerank.open)
        yield
    finally:
        await held.close()
