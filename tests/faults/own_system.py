"""A system of a test's own: a Redis and workers that run until the test is over, and indices that are removed then."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from second_opinion import Client
from second_opinion.schemas.errors import OpinionError
from second_opinion.workers.routing import ROLES, Role
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_connection
from tests.faults.victims import OwnRedis, WorkerProcess


class OwnSystem:
    """Servers and one worker of each role.

    Args:
        folder: Where logs, the ready files and Redis's file go.
        elasticsearch_url: A server that lives on.
        roles: The roles that are wanted.
        told: Further settings by field name.
        name: First part of the index prefix.

    Attributes:
        settings: What all processes are told.
    """

    def __init__(
        self,
        folder: Path,
        elasticsearch_url: str,
        *,
        roles: Sequence[Role] = tuple(ROLES),
        told: Mapping[str, str] | None = None,
        name: str = "own",
    ) -> None:
        self.folder = folder
        self.redis = OwnRedis(folder / "redis")
        self.told = {
            "state_dir": str(folder),
            "elasticsearch_url": elasticsearch_url,
            "broker_url": self.redis.url(0),
            "jobs_url": self.redis.url(1),
            "cache_url": self.redis.url(2),
            "index_prefix": f"{name}-{uuid.uuid4().hex[:8]}",
            "log_format": "json",
            **(told or {}),
        }
        self.settings = Settings.model_validate(self.told)
        self.workers = {role: WorkerProcess(role, folder, self.environment) for role in roles}

    @property
    def environment(self) -> dict[str, str]:
        """What a worker's process is told."""
        return {f"OPINION_{name.upper()}": value for name, value in self.told.items()}

    @contextmanager
    def running(self) -> Iterator[Client]:
        """Run Redis and the workers; remove all that they made behind them."""
        with ExitStack() as stack:
            stack.callback(self.redis.kill)
            self.redis.start()
            stack.callback(remove_indices, self.settings)
            stack.callback(self._kill_workers)
            for worker in self.workers.values():
                worker.start()
            client = stack.enter_context(Client(self.settings))
            for worker in self.workers.values():
                worker.wait_ready()
            yield client

    def _kill_workers(self) -> None:
        """End those that there are now: some may have taken the place of others."""
        for worker in self.workers.values():
            worker.kill()


def remove_indices(settings: Settings) -> None:
    """Remove what a system kept in Elasticsearch."""
    connection = open_connection(settings)
    try:
        made = connection.reads.indices.get(index=f"{settings.index_prefix}-*", expand_wildcards="all")
        if made.body:
            connection.writes.indices.delete(index=list(made.body))
    except OpinionError:
        return
    finally:
        connection.close()
