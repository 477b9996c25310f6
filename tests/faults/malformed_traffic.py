"""Sends what is malformed to every queue, and tells how each message ended."""

import json
from typing import Any

from celery import Celery

from second_opinion.workers.routing import QUEUE_OF_TASK
from tests.acceptance.conftest import System
from tests.faults.malformed import ENDED, GARBAGE, TASKS, payloads


def send_malformed(broker_url: str, count: int, seed: int) -> set[str]:
    """Send so many malformed messages, spread over all tasks; return their ids."""
    app, made = Celery(broker=broker_url), payloads(seed)
    tasks = [TASKS[number % len(TASKS)] for number in range(count)]
    ids = {app.send_task(task, queue=QUEUE_OF_TASK[task], args=made.next(task)).id for task in tasks}
    app.close()
    return ids


def endings(system: System) -> dict[str, str]:
    """Return how messages ended, by id: with the code of an error, or done. The workers have to log at DEBUG."""
    marks = [f'"event": "{event}"' for event in ENDED]
    lines = (line for worker in system.workers for line in worker.log.splitlines() if any(one in line for one in marks))
    told = (json.loads(line) for line in lines)
    return {one["task_id"]: one.get("code", "done") for one in told}


def push_garbage(broker: Any, queue: str) -> None:
    """Push every kind of garbage into a queue, as anybody can who reaches Redis."""
    for item in GARBAGE:
        broker.lpush(queue, item)
