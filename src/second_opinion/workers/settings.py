"""Settings: the one place that reads the environment. Every variable begins with `OPINION_`.

Where no server is named, the local stack's `stack.json` in the state folder says where it listens.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from second_opinion.schemas.collection import Relevance
from second_opinion.schemas.errors import InvalidRequest

Seconds = Annotated[float, Field(gt=0)]
STACK_FILE = "stack.json"


def default_state_dir() -> Path:
    """Return the folder of the local stack: root's has to be reachable for the user Elasticsearch runs as."""
    if os.geteuid() == 0:
        return Path("/var/lib/second-opinion")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "second-opinion"


class Settings(BaseSettings):
    """Everything that can be set, with what holds when it is not.

    Attributes:
        state_dir: Folder of the local stack: servers, pids, ports, logs.
        java_home: JDK for the local stack; `ES_JAVA_HOME` and `JAVA_HOME` are read too.
        elasticsearch_heap: Java heap of the local stack's Elasticsearch, such as `1g`; by the machine's memory if unset.
        ready_file: Made by a worker once it consumes and touched while it does; health checks look at its age.
        elasticsearch_url: One or more URLs, separated by commas.
        elasticsearch_password: With `elasticsearch_username`; or `elasticsearch_api_key` instead of both.
        elasticsearch_ca_certs: CA file for TLS.
        broker_url: Redis database that carries the messages.
        jobs_url: Redis database that keeps jobs, candidates and results.
        cache_url: Redis database whose keys may be evicted.
        index_prefix: First part of every index name, so that several systems can share a cluster.
        embedder_model: `bundled`, or a folder with an exported bi-encoder.
        reranker_model: `bundled`, or a folder with an exported cross-encoder.
        model_threads: Runner threads of an inference engine; 0 is one a core.
        floor: Relevance floor where neither query nor collection sets one; likewise the choices after it.
        chunk_tokens: Most tokens of a chunk, its context included; `chunk_overlap` of them are repeated.
        commit_documents: Documents that are committed together at the most; likewise `commit_seconds` of waiting.
        lease_seconds: How long a worker may be silent about a document before another takes over.
        max_attempts: How often work on a document is begun before it is recorded as failed.
        result_ttl: How long a finished job can be read.
        queue_limit: Messages in a queue above which callers are told `overloaded`.
        visibility_timeout: After this, Redis hands out an unacknowledged message again; above every limit.
    """

    model_config = SettingsConfigDict(env_prefix="OPINION_", frozen=True, extra="ignore")

    state_dir: Path = Field(default_factory=default_state_dir)
    java_home: Path | None = Field(
        default=None, validation_alias=AliasChoices("OPINION_JAVA_HOME", "ES_JAVA_HOME", "JAVA_HOME")
    )
    elasticsearch_heap: str | None = None
    ready_file: Path | None = None

    elasticsearch_url: str = "http://127.0.0.1:9200"
    elasticsearch_username: str | None = None
    elasticsearch_password: SecretStr | None = None
    elasticsearch_api_key: SecretStr | None = None
    elasticsearch_ca_certs: Path | None = None
    elasticsearch_timeout: Seconds = 10.0
    broker_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    jobs_url: SecretStr = SecretStr("redis://127.0.0.1:6379/1")
    cache_url: SecretStr = SecretStr("redis://127.0.0.1:6379/2")
    redis_timeout: Seconds = 5.0
    index_prefix: str = Field(default="opinion", pattern=r"^[a-z][a-z0-9-]{0,40}$")

    embedder_model: str = "bundled"
    reranker_model: str = "bundled"
    model_threads: int = Field(default=0, ge=0, le=256)

    floor: Relevance = 0.4
    top_k: int = Field(default=10, ge=1, le=100)
    candidates: int = Field(default=100, ge=1, le=1_000)
    chunks_per_document: int = Field(default=3, ge=1, le=1_000)

    chunk_tokens: int = Field(default=200, ge=32, le=4_096)
    chunk_overlap: int = Field(default=0, ge=0, le=512)
    commit_documents: int = Field(default=32, ge=1, le=1_000)
    commit_seconds: Seconds = 0.5
    lease_seconds: Seconds = 30.0
    max_attempts: int = Field(default=3, ge=1, le=100)
    reconcile_seconds: Seconds = 10.0
    sweep_grace_seconds: Seconds = 600.0
    tombstone_seconds: Seconds = 7 * 86_400.0

    result_ttl: Seconds = 3_600.0
    queue_limit: int = Field(default=100_000, ge=1)
    visibility_timeout: Seconds = 3_600.0
    task_limit_seconds: Seconds = 600.0
    shutdown_grace_seconds: Seconds = 30.0
    worker_threads: int = Field(default=8, ge=1, le=256)

    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Annotated[str, NoDecode, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: what the code gives, the environment, secret files, the local stack's own file."""
        return init_settings, env_settings, file_secret_settings, _StackFile(settings_cls)


class _StackFile(PydanticBaseSettingsSource):
    """Reads where the local stack listens from its state folder."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base's form
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        state_dir = self.current_state.get("state_dir") or default_state_dir()
        try:
            stack = json.loads((Path(state_dir) / STACK_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        urls = ("elasticsearch_url", "broker_url", "jobs_url", "cache_url")
        return {name: stack[name] for name in urls if isinstance(stack, dict) and name in stack}


@cache
def load_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        InvalidRequest: If a variable has a value that cannot be used; the sentence names the variable.
    """
    try:
        return Settings()
    except ValidationError as problem:
        lines = [f"OPINION_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in problem.errors()]
        raise InvalidRequest("; ".join(lines), hint="Correct these environment variables.") from problem
