"""How queues stand at a moment."""

from second_opinion.schemas.base import Record


class QueueFigures(Record):
    """One queue, as Redis and Elasticsearch show it.

    Attributes:
        name: The queue; the role of its workers has the same name.
        depth: Messages that wait, those in the hands of workers left out.
        oldest_seconds: How long the one whose turn is next has waited; None when there is none, or it does not say.
        consumers: Workers that were seen a moment ago.
        last_seen: When a worker of it was last seen (Unix seconds); None when none was in a day.
        drain_seconds: In how many seconds it is empty if it goes on as in the last minutes; 0 when it is, None while
            it does not get shorter.
        unreadable: Items that were no messages and were dropped, since the count was last reset.
    """

    name: str
    depth: int
    oldest_seconds: float | None = None
    consumers: int = 0
    last_seen: float | None = None
    drain_seconds: float | None = None
    unreadable: int = 0
