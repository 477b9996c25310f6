"""This machine: its settings, disk and clock."""

import shutil
import time
from collections.abc import Iterator
from typing import Any, Final

from second_opinion import __version__
from second_opinion.gateway.doctor.findings import Finding, failed, warning, well
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.redis.connection import connect, redis_errors
from second_opinion.workers.settings import STACK_FILE, Settings
from second_opinion.workers.stores import open_elasticsearch

FLOOD: Final = 0.95
HIGH: Final = 0.85
DRIFT_SECONDS: Final = 2.0


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Say which settings are in force where the servers are concerned."""
    local = (settings.state_dir / STACK_FILE).exists()
    where = f"local stack in {settings.state_dir}" if local else f"servers at {settings.elasticsearch_url}"
    yield well("settings", f"second-opinion {__version__}, {where}, indices {settings.index_prefix}-*")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Look at the room Elasticsearch has: from 85 % on it moves shards, from 95 % on it takes no writes."""
    stores = open_elasticsearch(settings)
    try:
        with store_errors():
            nodes = stores.connection.reads.nodes.stats(metric="fs", filter_path="nodes.*.name,nodes.*.fs.total")[
                "nodes"
            ]
    finally:
        stores.connection.close()
    for node in nodes.values():
        total = node["fs"]["total"]
        yield _room(f"disk of {node.get('name', 'a node')}", total["total_in_bytes"], total["available_in_bytes"])
    if settings.state_dir.is_dir():
        usage = shutil.disk_usage(settings.state_dir)
        yield _room("disk of the stack", usage.total, usage.free)


def check_clock(settings: Settings) -> Iterator[Finding]:
    """Compare this machine's clock with that of Redis: leases and deadlines are compared between machines."""
    client = connect(settings.jobs_url.get_secret_value(), timeout=settings.redis_timeout)
    try:
        with redis_errors():
            before = time.time()
            seconds, microseconds = _pair(client.time())
            after = time.time()
    finally:
        client.close()
    drift = abs(seconds + microseconds / 1e6 - (before + after) / 2)
    if drift > DRIFT_SECONDS:
        yield warning("clock", f"{drift:.1f} s apart from Redis", "Synchronise the clocks (NTP) of all machines.")
    else:
        yield well("clock", f"{drift * 1_000:.0f} ms apart from Redis")


def _pair(answer: Any) -> tuple[int, int]:
    seconds, microseconds = answer
    return int(seconds), int(microseconds)


def _room(part: str, total: int, free: int) -> Finding:
    used = 1.0 - free / max(total, 1)
    told = f"{free / 1e9:,.1f} GB of {total / 1e9:,.1f} GB free"
    if used >= FLOOD:
        return failed(part, told, "Elasticsearch takes no writes from 95 % on: make room.")
    if used >= HIGH:
        return warning(part, told, "Make room: from 95 % on Elasticsearch takes no writes.")
    return well(part, told)
