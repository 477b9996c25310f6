"""Elasticsearch and Redis: reachable, of the right kind, and set up as the design needs them."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from second_opinion.gateway.doctor.findings import Finding, failed, warning, well
from second_opinion.pipeline.adapters.elasticsearch import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.redis.connection import connect, redis_errors
from second_opinion.schemas.errors import OpinionError
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_elasticsearch

OLDEST_SERVER: Final = (8, 19)
ANALYZED: Final = "the dosages"
STEMS: Final = ["dosag"]


def check_elasticsearch(settings: Settings) -> Iterator[Finding]:
    """Look at version, health and the analyzer."""
    with _connection(settings) as connection, store_errors():
        yield _version(connection)
        yield _health(connection)
        yield _analyzer(connection)


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Look at each of the three uses of Redis: it answers, and keeps what it must not forget."""
    uses = (
        ("broker", settings.broker_url, True),
        ("jobs", settings.jobs_url, True),
        ("cache", settings.cache_url, False),
    )
    for name, url, keeps in uses:
        try:
            yield _redis(f"redis {name}", url, settings.redis_timeout, keeps=keeps)
        except OpinionError as problem:
            yield failed(
                f"redis {name}", f"{_shown(url)}: {problem.message}", "Start it, or correct its URL: opinion up"
            )


class _connection:  # noqa: N801 - used as a function
    """A connection for one check."""

    def __init__(self, settings: Settings) -> None:
        self._connection = open_elasticsearch(settings).connection

    def __enter__(self) -> Connection:
        return self._connection

    def __exit__(self, *_problem: object) -> None:
        self._connection.close()


def _version(connection: Connection) -> Finding:
    nodes = connection.reads.nodes.info(node_id="_all", filter_path="nodes.*.version")["nodes"]
    versions = sorted({str(node["version"]) for node in nodes.values()})
    told = f"{', '.join(versions)}, {len(nodes)} node" + ("s" if len(nodes) > 1 else "")
    oldest = min(tuple(int(part) for part in version.split(".")[:2]) for version in versions)
    if oldest < OLDEST_SERVER:
        return failed("elasticsearch", told, "Run Elasticsearch 8.19 or newer.")
    return well("elasticsearch", told)


def _health(connection: Connection) -> Finding:
    health = connection.reads.cluster.health()
    status, unassigned = str(health["status"]), int(health["unassigned_shards"])
    if status == "red":
        return failed(
            "elasticsearch health", "red: data is missing", "Look for the missing node: opinion logs elasticsearch"
        )
    replicas = f", {unassigned} replicas have no node" if status == "yellow" and unassigned else ""
    return well("elasticsearch health", f"{status}{replicas}")


def _analyzer(connection: Connection) -> Finding:
    try:
        found = connection.reads.indices.analyze(analyzer="english", text=ANALYZED)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the analyzer cannot be used
        hint = "Install the analysis-common module, or start the local stack, which brings the analyzer: opinion up"
        return failed("english analyzer", str(problem).splitlines()[0], hint)
    stems = [token["token"] for token in found["tokens"]]
    if stems != STEMS:
        return failed("english analyzer", f"{ANALYZED!r} became {stems}, not {STEMS}", "Restore the stock analyzer.")
    return well("english analyzer", f"{ANALYZED!r} becomes {stems[0]!r}")


def _redis(part: str, url: SecretStr, timeout: float, *, keeps: bool) -> Finding:
    client = connect(url.get_secret_value(), timeout=timeout)
    try:
        with redis_errors():
            server: Any = client.info("server")
            memory: Any = client.info("memory")
    finally:
        client.close()
    policy = str(memory.get("maxmemory_policy", "unknown"))
    told = f"{server['redis_version']} at {_shown(url)}, {memory['used_memory_human']} used, {policy}"
    if keeps and policy not in {"noeviction", "unknown"}:
        return failed(part, told, "Messages or results may be evicted: CONFIG SET maxmemory-policy noeviction")
    limit, used = int(memory.get("maxmemory", 0)), int(memory["used_memory"])
    if limit and used > 0.9 * limit:
        return warning(part, told, "It is nearly full: raise maxmemory, or add workers so that the queues drain.")
    return well(part, told)


def _shown(url: SecretStr) -> str:
    """Return an address without its password."""
    parts = urlsplit(url.get_secret_value())
    return f"{parts.hostname}:{parts.port or 6379}{parts.path}"
