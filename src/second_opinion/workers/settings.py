"""Settings: the one place that reads the environment. Every variable begins with `OPINION_`.

Where no server is named, the local stack's `stack.json` in the state folder says where it listens.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from second_opinion.schemas.base import Request
from second_opinion.schemas.collection import OnUnavailable, QueryDefaults, Relevance, RerankerName
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.workers.definitions import EmbedderDefinition, RerankerDefinition, read_definitions, read_embedder

Seconds = Annotated[float, Field(gt=0)]
STACK_FILE = "stack.json"


def default_state_dir() -> Path:
    """Return the folder of the local stack: root's has to be reachable for the user Elasticsearch runs as."""
    if os.geteuid() == 0:
        return Path("/var/lib/second-opinion")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "second-opinion"


class FormerIndexing(Request):
    """What indices were made with before; what is not said is as it is now."""

    embedder_model: str = "bundled"
    embedder: str = ""
    chunk_tokens: int = Field(default=200, ge=32, le=4_096)
    chunk_overlap: int = Field(default=0, ge=0, le=512)


class Settings(BaseSettings):
    """Everything that can be set, with what holds when it is not. `docs/reference/settings.md` is made from this."""

    model_config = SettingsConfigDict(env_prefix="OPINION_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    elasticsearch_url: str = "http://127.0.0.1:9200"
    """One or more URLs of one cluster, separated by commas."""
    elasticsearch_username: str | None = None
    """For basic authentication, with the password."""
    elasticsearch_password: SecretStr | None = None
    """For basic authentication, with the username."""
    elasticsearch_api_key: SecretStr | None = None
    """Instead of username and password."""
    elasticsearch_ca_certs: Path | None = None
    """File with the CA certificates to trust."""
    elasticsearch_timeout: Seconds = 10.0
    """Seconds that one request may take."""
    index_prefix: str = Field(default="opinion", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    """First part of every index name, so that several systems can share a cluster."""

    broker_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Redis database that carries the messages; its server must not evict keys."""
    jobs_url: SecretStr = SecretStr("redis://127.0.0.1:6379/1")
    """Redis database that keeps jobs, candidates and results; its server must not evict keys."""
    cache_url: SecretStr = SecretStr("redis://127.0.0.1:6379/2")
    """Redis database whose keys may be evicted."""
    redis_timeout: Seconds = 5.0
    """Seconds that one call may take."""
    call_timeout: Seconds = 60.0
    """Seconds that one call of a client may take, however many requests it makes; who waits says how long."""
    visibility_timeout: Seconds = 3_600.0
    """Seconds after which Redis hands out an unacknowledged message again; above every other limit."""
    result_ttl: Seconds = 3_600.0
    """Seconds for which a finished job can be read."""

    embedder_model: str = "bundled"
    """`bundled`, or a folder with an exported bi-encoder."""
    embedder: str = ""
    """Instead, a bi-encoder of Sentence Transformers: JSON, or the path of a file; see `docs/how-to/embedders.md`."""
    reranker_model: str = "bundled"
    """`bundled`, or a folder with an exported cross-encoder: the reranker that is called `bundled`."""
    rerankers: str = ""
    """Further rerankers by name: JSON, or the path of a `.json` or `.toml` file; see `docs/how-to/rerankers.md`."""
    reranker: RerankerName = "bundled"
    """Name of the reranker that a rerank worker asks first."""
    reranker_fallbacks: str = ""
    """Names of those that it asks when that one cannot be had, in their order, separated by commas."""
    breaker_threshold: int = Field(default=5, ge=1, le=1_000_000)
    """Failures in a row after which all rerank workers leave a provider alone."""
    breaker_cool_down: Seconds = 30.0
    """Seconds for which they do; then one call looks whether it is back."""
    model_threads: int = Field(default=0, ge=0, le=256)
    """Runner threads of a model; 0 is one for each core."""

    rerank_cache_scores: int = Field(default=200_000, ge=0, le=100_000_000)
    """Most raw scores of local rerankers that the cache database keeps, so that no pair is read twice; 0 keeps none."""
    rerank_cache_ttl: Seconds = 86_400.0
    """Seconds for which they are kept."""

    floor: Relevance = 0.4
    """Relevance below which nothing is shown, where neither the query nor its collection says otherwise."""
    top_k: int = Field(default=10, ge=1, le=100)
    """Most passages to keep, likewise."""
    candidates: int = Field(default=100, ge=1, le=1_000)
    """Fused candidates that the reranker reads, likewise."""
    chunks_per_document: int = Field(default=3, ge=1, le=1_000)
    """Most chunks of one document to keep, likewise."""
    bm25_weight: float = Field(default=1.0, ge=0.0, le=100.0, allow_inf_nan=False)
    """Weight of the BM25 list in reciprocal rank fusion, likewise."""
    knn_weight: float = Field(default=1.0, ge=0.0, le=100.0, allow_inf_nan=False)
    """Weight of the kNN list, likewise."""
    on_unavailable: OnUnavailable = "fail"
    """What happens when no reranker can be had: `fail`, `wait` or `fused`, likewise."""

    chunk_tokens: int = Field(default=200, ge=32, le=4_096)
    """Most tokens of a chunk, its title and headings included; no more than the bi-encoder reads."""
    chunk_overlap: int = Field(default=0, ge=0, le=512)
    """Tokens that neighbouring chunks share."""
    former_indexing: str = ""
    """What indices were made with before: JSON with those of `embedder_model`, `embedder`, `chunk_tokens` and
    `chunk_overlap` that were otherwise. They are read and written on until `opinion reindex` has moved them."""
    reuse_embeddings: bool = True
    """Keep vectors so that they can be read again (4 bytes a dimension), and compute none for a text that has one."""
    commit_documents: int = Field(default=32, ge=1, le=1_000)
    """Most documents that become visible in one commit."""
    commit_seconds: Seconds = 0.5
    """Longest wait for a commit to fill."""
    lease_seconds: Seconds = 15.0
    """How long a worker may be silent about a document before another takes it over."""
    job_lease_seconds: Seconds = 15.0
    """How long a worker may be silent about a query before another takes it over."""
    max_attempts: int = Field(default=3, ge=1, le=100)
    """How often work on a document may fail, or end its worker alone, until it is failed; outages do not count."""
    reconcile_seconds: Seconds = 5.0
    """How often work that nobody does and that is in no queue is looked for."""
    sweep_seconds: Seconds = 60.0
    """How often chunks and contents that nothing points to are removed. Sweeps that take long are made more rarely."""
    sweep_grace_seconds: Seconds = 600.0
    """Age before which chunks and contents that nothing points to are left alone."""
    tombstone_seconds: Seconds = 7 * 86_400.0
    """How long a deleted document is remembered, so that a late message cannot bring it back."""

    trace_days: int = Field(default=30, ge=0, le=366)
    """Days for which every query's scores are kept, so that a floor can be chosen from them; 0 keeps none."""
    trace_query_text: bool = True
    """Keep a question's text in its trace, not only its hash."""

    max_ingest_messages: int = Field(default=20_000, ge=1)
    """Most messages (of up to 16 documents) that may wait to be indexed; beyond it documents are `overloaded`."""
    max_query_messages: int = Field(default=1_000, ge=1)
    """Most queries that may wait for a worker; beyond it queries are `overloaded`."""
    max_redis_share: float = Field(default=0.8, gt=0.0, le=1.0)
    """Share of Redis's `maxmemory` beyond which nothing is taken in; a Redis without one has no such bound."""

    index_nice: int = Field(default=10, ge=0, le=19)
    """Niceness of workers for whom nobody waits (extract, index, maintenance): queries come first on a machine that all
    share. 0 lets all be equal."""
    worker_threads: int = Field(default=8, ge=1, le=256)
    """Tasks that a worker with a thread pool runs at once."""
    task_limit_seconds: Seconds = 600.0
    """How long a task may run before its worker is ended and the work handed on."""
    stall_seconds: Seconds = 15.0
    """How long one inference, one file's extraction, a query without a sign of life, or any other call into native code
    may take before its worker is ended; above every timeout."""
    deaf_seconds: Seconds = 20.0
    """How long messages may wait beside an idle worker that takes none, before it is ended."""
    shutdown_grace_seconds: Seconds = 30.0
    """How long running tasks get after a worker was asked to stop; after half of it documents are given back."""
    ready_file: Path | None = None
    """Made by a worker once it consumes and touched while it does; health checks look at its age."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """`auto` is readable on a terminal and JSON elsewhere."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe lines that are written."""

    gateway_host: str = "127.0.0.1"
    """Address on which the HTTP gateway listens; on any but loopback it needs keys: `opinion keys create`."""
    gateway_port: int = Field(default=8100, ge=0, le=65_535)
    """Its port; 0 picks a free one."""
    gateway_require_keys: bool = False
    """Ask for a key on loopback too, where requests are let in without one for as long as no key was made."""
    gateway_hosts: str = ""
    """Further names, separated by commas, by which a gateway on loopback may be called; a proxy's, for example."""
    gateway_requests_per_minute: int = Field(default=0, ge=0, le=1_000_000)
    """Requests a minute that a key may make, of all gateways together; 0 is without limit."""
    gateway_max_body_bytes: int = Field(default=10_000_000, ge=1_000, le=1_000_000_000)
    """Largest body of a request, and largest line of a batch."""
    webhook_allow_private: bool = False
    """Let webhooks lead to this machine and to private networks, and to addresses without TLS."""
    gateway_url: str = ""
    """Address of a gateway through which the command line works; without it, it goes to the servers itself."""
    gateway_key: SecretStr | None = None
    """The API key that it then sends."""
    gateway_rerank: Literal["off", "lazy", "start"] = "lazy"
    """Whether the gateway reranks passages that callers send: not at all, with a model that is loaded at the first such
    request, or with one that is loaded when it starts."""
    gateway_rerank_seconds: Seconds = 120.0
    """Seconds that such a request may take."""
    gateway_rerank_passages: int = Field(default=20_000, ge=1, le=1_000_000)
    """Most passages, of all requests, that may wait for it at once; beyond it callers are told when to come back. One
    request may bring 10,000."""

    state_dir: Path = Field(default_factory=default_state_dir)
    """Folder of the local stack: servers, pids, ports, logs."""
    java_home: Path | None = Field(
        default=None, validation_alias=AliasChoices("OPINION_JAVA_HOME", "ES_JAVA_HOME", "JAVA_HOME")
    )
    """JDK of the local stack; `ES_JAVA_HOME` and `JAVA_HOME` are read too."""
    elasticsearch_heap: str | None = None
    """Java heap of the local stack's Elasticsearch, such as `1g`; by the machine's memory when unset."""

    def embedder_definition(self) -> EmbedderDefinition | None:
        """Return the bi-encoder that is defined instead of an exported one; None when none is.

        Raises:
            InvalidRequest: If `OPINION_EMBEDDER` cannot be read.
        """
        return read_embedder(self.embedder)

    def former(self) -> "Settings | None":
        """Return these settings with what indices were made with before; None when nothing was otherwise.

        Raises:
            InvalidRequest: If `OPINION_FORMER_INDEXING` cannot be read.
        """
        if not self.former_indexing:
            return None
        try:
            said = FormerIndexing.model_validate_json(self.former_indexing)
        except ValidationError as problem:
            found = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in problem.errors())
            raise InvalidRequest(
                f"OPINION_FORMER_INDEXING: {found}",
                hint='Write what was otherwise, such as {"embedder_model": "bundled", "chunk_tokens": 200}.',
            ) from None
        return self.model_copy(update=said.model_dump(exclude_unset=True, exclude={"schema_version"}))

    def reranker_definitions(self) -> dict[str, RerankerDefinition]:
        """Return the rerankers that are defined, by name.

        Raises:
            InvalidRequest: If `OPINION_RERANKERS` cannot be read.
        """
        return read_definitions(self.rerankers, bundled=self.reranker_model)

    def served_rerankers(self) -> list[str]:
        """Return the names of the rerankers that a rerank worker serves, in the order in which it asks them.

        Raises:
            InvalidRequest: If one of them is not defined.
        """
        fallbacks = [name.strip() for name in self.reranker_fallbacks.split(",")]
        names = list(dict.fromkeys([self.reranker, *filter(None, fallbacks)]))
        known = self.reranker_definitions()
        strangers = [name for name in names if name not in known]
        if strangers:
            raise InvalidRequest(
                f"no reranker is called {', '.join(strangers)} (known: {', '.join(known)})",
                hint="Define it in OPINION_RERANKERS, or correct OPINION_RERANKER and OPINION_RERANKER_FALLBACKS.",
            )
        return names

    def secret(self, variable: str | None) -> SecretStr | None:
        """Return what an environment variable holds that a reranker names as its secret; None when it names none.

        Raises:
            InvalidRequest: If the variable is not set.
        """
        if variable is None:
            return None
        value = os.environ.get(variable)
        if not value:
            # The name is not repeated: somebody may have put the key itself in its place.
            raise InvalidRequest(
                "a reranker's `secret` names an environment variable that is not set",
                hint="Set the variable that holds the key; `secret` is its name, not the key.",
            )
        return SecretStr(value)

    def query_defaults(self) -> QueryDefaults:
        """Return the choices that hold where neither a query nor its collection makes them."""
        return QueryDefaults.model_validate(self.model_dump(include=set(QueryDefaults.model_fields) - {"reranker"}))

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
        given = ("elasticsearch_url", "broker_url", "jobs_url", "cache_url", "gateway_port")
        return {name: stack[name] for name in given if isinstance(stack, dict) and stack.get(name) is not None}


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
