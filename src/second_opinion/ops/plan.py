"""The plan of a running stack: what was started, with what, where. It is the file `stack.json`."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from second_opinion.ops.elasticsearch_server import ElasticsearchServer
from second_opinion.ops.ports import LOOPBACK
from second_opinion.ops.redis_server import BROKER_DATABASE, CACHE_DATABASE, JOBS_DATABASE, RedisServer
from second_opinion.ops.state import StateFolder
from second_opinion.pipeline.whole_files import write_whole

ELASTICSEARCH: str = "elasticsearch"
REDIS: str = "redis"
GATEWAY: str = "gateway"
SERVERS: tuple[str, ...] = (ELASTICSEARCH, REDIS)


class StackPlan(BaseModel):
    """What the supervisor runs. The addresses are what every other command reads to find the local stack."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    elasticsearch_url: str
    broker_url: str
    jobs_url: str
    cache_url: str
    elasticsearch_port: int
    redis_port: int
    elasticsearch_home: Path
    java_home: Path
    redis_program: Path
    heap: str
    workers: dict[str, int]
    gateway_port: int | None = None
    gateway_url: str | None = None

    @classmethod
    def make(cls, elasticsearch: ElasticsearchServer, redis: RedisServer, workers: dict[str, int]) -> Self:
        """Return the plan for these servers and this many workers of each role, without a gateway."""
        return cls(
            elasticsearch_url=elasticsearch.url,
            broker_url=redis.url(BROKER_DATABASE),
            jobs_url=redis.url(JOBS_DATABASE),
            cache_url=redis.url(CACHE_DATABASE),
            elasticsearch_port=elasticsearch.port,
            redis_port=redis.port,
            elasticsearch_home=elasticsearch.home,
            java_home=elasticsearch.java_home,
            redis_program=redis.program,
            heap=elasticsearch.heap,
            workers=workers,
        )

    @classmethod
    def read(cls, state: StateFolder) -> Self | None:
        """Return the plan in the state folder, or None when there is none that can be read."""
        try:
            return cls.model_validate_json(state.stack_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, state: StateFolder) -> None:
        """Put the plan into the state folder."""
        write_whole(state.stack_file, self.model_dump_json(indent=2) + "\n")

    def with_gateway(self, port: int) -> Self:
        """Return the plan with a gateway on this port of loopback."""
        return self.model_copy(update={"gateway_port": port, "gateway_url": f"http://{LOOPBACK}:{port}"})

    def elasticsearch(self, state: StateFolder) -> ElasticsearchServer:
        """Return the node of this plan."""
        return ElasticsearchServer(
            folder=state.elasticsearch,
            home=self.elasticsearch_home,
            java_home=self.java_home,
            port=self.elasticsearch_port,
            heap=self.heap,
        )

    def redis(self, state: StateFolder) -> RedisServer:
        """Return the Redis of this plan."""
        return RedisServer(folder=state.redis, program=self.redis_program, port=self.redis_port)

    @property
    def parts(self) -> list[str]:
        """The names of all parts: servers, then workers (`index`, `index-2`, ...), then the gateway."""
        workers = [name for role, count in self.workers.items() for name in worker_names(role, count)]
        return [*SERVERS, *workers, *([GATEWAY] if self.gateway_port is not None else [])]


def worker_names(role: str, count: int) -> list[str]:
    """Return the part names of `count` workers of `role`: the role itself, then with a number."""
    return [role if number == 1 else f"{role}-{number}" for number in range(1, count + 1)]
