"""Queues and their consumers: every role has a worker that listens, and no queue only grows."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from second_opinion.gateway.doctor.findings import Finding, failed, warning, well
from second_opinion.schemas.errors import BrokerUnavailable
from second_opinion.workers.app import make_app
from second_opinion.workers.envelopes import UNREADABLE
from second_opinion.workers.queue import CeleryTaskQueue
from second_opinion.workers.routing import ROLES
from second_opinion.workers.settings import Settings

REPLY_SECONDS: Final = 1.0
LONG: Final = 1_000


def check_queues(settings: Settings) -> Iterator[Finding]:
    """Ask all workers which queues they consume, and look at how long the queues are."""
    app = make_app(settings)
    try:
        answers: Any = app.control.inspect(timeout=REPLY_SECONDS).active_queues() or {}
    except (OperationalError, RedisError, OSError) as problem:
        raise BrokerUnavailable(f"Redis does not carry messages: {problem}") from problem
    consumers = [consumed["name"] for queues in answers.values() for consumed in queues]
    with closing(CeleryTaskQueue(app)) as queue:
        for role, spec in ROLES.items():
            waiting, listening = queue.length(spec.queue), consumers.count(spec.queue)
            told = f"{listening} worker{'' if listening == 1 else 's'}, {waiting:,} waiting"
            part = f"queue {spec.queue}"
            if listening == 0:
                yield failed(part, told, f"Nobody consumes it: opinion worker --role {role}, or opinion up")
            elif waiting > LONG:
                yield warning(part, told, f"Add workers of this role: opinion worker --role {role}")
            else:
                yield well(part, told)
        yield from _unreadable(queue)


def _unreadable(queue: CeleryTaskQueue) -> Iterator[Finding]:
    """Tell of what was pushed into queues and was no message: somebody believes that it was taken."""
    for name, count in sorted(queue.unreadable().items()):
        told = f"{count:,} item{'' if count == 1 else 's'} {'was' if count == 1 else 'were'} no message, and dropped"
        hint = (
            f"Why stands in the log (message_unreadable): opinion logs {name}. Correct whoever sends there, then reset "
            f"the count in the broker's Redis: HDEL {UNREADABLE} {name}"
        )
        yield warning(f"queue {name}", told, hint)
