"""Sends what is malformed to every queue, and counts how the tasks ended."""

from dataclasses import dataclass
from typing import Any

from celery import Celery

from second_opinion.workers.routing import QUEUE_OF_TASK, RECONCILE, SWEEP
from tests.acceptance.conftest import System
from tests.faults.malformed import ENDED, GARBAGE, TASKS, payloads

PERIODIC = (RECONCILE, SWEEP)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many tasks had ended at some moment, those of the beat left out: they come by themselves.

    Attributes:
        before: By log file, how many.
    """

    before: int

    @classmethod
    def of(cls, system: System) -> "Counted":
        """Count now."""
        return cls(_ended(system))

    def ended(self, system: System) -> int:
        """Return how many have ended since."""
        return _ended(system) - self.before


def _ended(system: System) -> int:
    lines = (line for worker in system.workers for line in worker.log.splitlines())
    marks = [f'"event": "{event}"' for event in ENDED]
    own = [f'"task": "{task}"' for task in TASKS if task not in PERIODIC]
    return sum(any(mark in line for mark in marks) and any(task in line for task in own) for line in lines)


def send_malformed(broker_url: str, count: int, seed: int) -> int:
    """Send so many malformed messages, spread over all tasks; return how many of them are none of the beat's."""
    app, made, own = Celery(broker=broker_url), payloads(seed), 0
    for number in range(count):
        task = TASKS[number % len(TASKS)]
        app.send_task(task, queue=QUEUE_OF_TASK[task], args=made.next(task))
        own += task not in PERIODIC
    app.close()
    return own


def push_garbage(broker: Any, queue: str) -> None:
    """Push every kind of garbage into a queue, as anybody can who reaches Redis."""
    for item in GARBAGE:
        broker.lpush(queue, item)
