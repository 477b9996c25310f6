"""The gateway on real Elasticsearch and Redis: in this process for most tests, as a server of its own for some.

api       a client of the application in this process; the caller is on loopback, and no key exists
gateway   the application itself, its settings, and keys for other callers
served    a real uvicorn on a free port, with worker processes that a test starts
"""

import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import redis
import uvicorn
from fastapi import FastAPI

from second_opinion import Client
from second_opinion.gateway.http.app import make_app
from second_opinion.schemas.access import NewKey
from second_opinion.workers.settings import Settings
from tests.acceptance.conftest import BROKER_DATABASE, JOBS_DATABASE, System, redis_database, wait_until
from tests.conftest import Servers

BASE_URL = "http://127.0.0.1:8100"
LOOPBACK = ("127.0.0.1", 50_000)


@dataclass
class GatewayRig:
    """One application on servers of its own namespace.

    Attributes:
        system: Indices, Redis databases and, where a test starts them, workers.
        settings: The gateway's settings.
        app: The application.
    """

    system: System
    settings: Settings
    app: FastAPI
    tokens: list[str] = field(default_factory=list)

    @property
    def client(self) -> Client:
        """The direct client behind the gateway."""
        client: Client = self.app.state.gateway.client
        return client

    def key(self, *scopes: Any, collections: tuple[str, ...] = ("*",), expires_at: float | None = None) -> NewKey:
        """Make a key in the store, as `opinion keys create` does."""
        made = NewKey.make("test", scopes=scopes, collections=collections, now=time.time(), expires_at=expires_at)
        self.client.parts.api_keys.create(made.key)
        self.tokens.append(made.token)
        return made

    @asynccontextmanager
    async def caller(
        self, token: str | None = None, *, address: tuple[str, int] = LOOPBACK, base_url: str = BASE_URL
    ) -> AsyncIterator[httpx.AsyncClient]:
        """A caller of the application in this process, with a key or without."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app=self.app, client=address, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers, timeout=60.0) as made:
            yield made


@contextmanager
def system_of(servers: Servers, folder: Path, **environment: str) -> Iterator[System]:
    """Indices and Redis databases of one test, emptied before and removed behind it."""
    broker, jobs = (redis_database(servers.redis_url, number) for number in (BROKER_DATABASE, JOBS_DATABASE))
    for url in {broker, jobs}:
        with redis.Redis.from_url(url) as database:
            database.flushdb()
    made = System(
        folder=folder,
        environment={
            "OPINION_STATE_DIR": str(folder / "state"),
            "OPINION_ELASTICSEARCH_URL": servers.elasticsearch_url,
            "OPINION_BROKER_URL": broker,
            "OPINION_JOBS_URL": jobs,
            "OPINION_CACHE_URL": jobs,
            "OPINION_INDEX_PREFIX": f"h{uuid.uuid4().hex[:8]}",
            "OPINION_RECONCILE_SECONDS": "1",
            "OPINION_LOG_FORMAT": "json",
            **environment,
        },
    )
    try:
        yield made
    finally:
        made.stop_all()
        made.remove_indices()


@asynccontextmanager
async def gateway_on(system: System, **choices: Any) -> AsyncIterator[GatewayRig]:
    """The application in this process, its lifespan included."""
    settings = system.settings.model_copy(update=choices)
    app = make_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield GatewayRig(system, settings, app)


@pytest.fixture
def bare_system(servers: Servers, tmp_path: Path) -> Iterator[System]:
    """Indices and Redis databases of this test alone; no worker runs."""
    with system_of(servers, tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def gateway(bare_system: System) -> AsyncIterator[GatewayRig]:
    """The application in this process."""
    async with gateway_on(bare_system) as made:
        yield made


@pytest_asyncio.fixture
async def api(gateway: GatewayRig) -> AsyncIterator[httpx.AsyncClient]:
    """A caller on loopback without a key, while no key exists: may do everything."""
    async with gateway.caller() as made:
        yield made


@dataclass
class Served:
    """A real server in a thread of this process, on a free port of loopback.

    Attributes:
        url: Where it listens.
        system: Start worker processes with `system.start("retrieve", "rerank")`.
    """

    url: str
    system: System
    app: FastAPI

    def http(self, **options: Any) -> httpx.Client:
        """Return a caller over a real connection, who is more patient than the longest `Prefer: wait`."""
        return httpx.Client(base_url=self.url, timeout=120.0, **options)


@contextmanager
def serving(system: System, **choices: Any) -> Iterator[Served]:
    """Run the application in a real uvicorn until the context ends."""
    app = make_app(system.settings.model_copy(update=choices))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, proxy_headers=False))
    thread = threading.Thread(target=server.run, name="served-gateway", daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), 30.0)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}", system, app)
    finally:
        server.should_exit = True
        thread.join(30.0)


@pytest.fixture(scope="module")
def served(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real server for the tests of one module; no worker runs until one of them starts it."""
    with system_of(servers, tmp_path_factory.mktemp("system")) as system, serving(system) as made:
        yield made
