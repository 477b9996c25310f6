"""All checks in their order. One that breaks is a finding too, and does not keep the others from running."""

from collections.abc import Callable, Iterator
from typing import Final

from second_opinion.gateway.doctor.documents import check_documents
from second_opinion.gateway.doctor.findings import Finding, failed, failed_with
from second_opinion.gateway.doctor.gateway import check_gateway
from second_opinion.gateway.doctor.machine import check_clock, check_disk, check_settings
from second_opinion.gateway.doctor.models import check_embedder, check_reranker
from second_opinion.gateway.doctor.queues import check_queues
from second_opinion.gateway.doctor.servers import check_elasticsearch, check_redis
from second_opinion.schemas.errors import OpinionError
from second_opinion.workers.settings import Settings

Check = Callable[[Settings], Iterator[Finding]]

CHECKS: Final[dict[str, Check]] = {
    "settings": check_settings,
    "elasticsearch": check_elasticsearch,
    "redis": check_redis,
    "queues": check_queues,
    "documents": check_documents,
    "gateway": check_gateway,
    "embedder": check_embedder,
    "reranker": check_reranker,
    "disk": check_disk,
    "clock": check_clock,
}


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check and yield what it finds as it finds it."""
    for part, check in CHECKS.items():
        try:
            yield from check(settings)
        except OpinionError as problem:
            yield failed_with(part, problem)
        except Exception as problem:  # noqa: BLE001 - a check that breaks tells something too
            yield failed(part, f"the check broke: {type(problem).__name__}: {problem}", "Please report this.")
