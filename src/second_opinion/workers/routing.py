"""Queues, roles and task names: which worker does what. Callers in any language need only this table.

One worker role consumes one queue, so that each kind is scaled on its own.
"""

from dataclasses import dataclass
from typing import Final, Literal

Role = Literal["intake", "extract", "index", "retrieve", "rerank", "maintenance"]


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """How a role runs.

    Attributes:
        pool: Celery's worker pool. Threads share one copy of a model; prefork isolates what may crash.
        beat: True when the role also sends the periodic tasks.
        holds: True when what a lost worker held is given back within seconds. Periodic tasks need it not: the next
            one does what a lost one would have done.
        gives_way: True when nobody waits for it, so that whatever else the machine does comes first.
    """

    queue: str
    pool: Literal["threads", "prefork"]
    beat: bool = False
    holds: bool = False
    gives_way: bool = False


ROLES: Final[dict[Role, RoleSpec]] = {
    "intake": RoleSpec(queue="intake", pool="threads", holds=True),
    "extract": RoleSpec(queue="extract", pool="prefork", holds=True, gives_way=True),
    "index": RoleSpec(queue="index", pool="threads", holds=True, gives_way=True),
    "retrieve": RoleSpec(queue="retrieve", pool="threads", holds=True),
    "rerank": RoleSpec(queue="rerank", pool="threads", holds=True),
    "maintenance": RoleSpec(queue="maintenance", pool="prefork", beat=True, gives_way=True),
}

ACCEPT: Final = "opinion.accept"
EXTRACT: Final = "opinion.extract"
INDEX: Final = "opinion.index"
REMAKE: Final = "opinion.remake"
SUBMIT_QUERY: Final = "opinion.submit_query"
RETRIEVE: Final = "opinion.retrieve"
RERANK: Final = "opinion.rerank"
RECONCILE: Final = "opinion.reconcile"
SWEEP: Final = "opinion.sweep"

QUEUE_OF_TASK: Final[dict[str, str]] = {
    ACCEPT: "intake",
    SUBMIT_QUERY: "intake",
    EXTRACT: "extract",
    INDEX: "index",
    REMAKE: "index",
    RETRIEVE: "retrieve",
    RERANK: "rerank",
    RECONCILE: "maintenance",
    SWEEP: "maintenance",
}
