"""Running a task's body: log context, watchdog, and an outcome for whatever happens in it.

Celery's thread pool survives a `MemoryError` or `SystemExit` in a task as a thread that is gone for good, so no
exception leaves a body: what is not one of our errors becomes an `InternalError`, is logged with its traceback, and the
process goes on. A memory error is not gone on from: the process is left, and leases rescue its work.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import structlog
from pydantic import ValidationError

from second_opinion.pipeline.ports import Guard
from second_opinion.schemas.base import Versioned
from second_opinion.schemas.errors import ErrorInfo, InternalError, InvalidRequest, OpinionError
from second_opinion.schemas.messages import REQUEST_ID_LENGTH
from second_opinion.workers.watchdog import Watchdog

log = structlog.get_logger(__name__)

MEMORY_EXIT: Final = 71

MessageT = TypeVar("MessageT", bound=Versioned)

Facts = dict[str, Any]
"""What a task says about its work, for its one log line."""


class TaskRunner:
    """Runs task bodies of one worker process."""

    def __init__(self, watchdog: Watchdog, leave: Callable[[int], object]) -> None:
        self._watchdog = watchdog
        self._leave = leave

    def pulse(self) -> Guard:
        """Return what the task of this thread calls to show that it goes on."""
        return self._watchdog.pulse()

    def must_let_go(self) -> bool:
        """Tell whether this worker stops soon, so that work which can be given back should be."""
        return self._watchdog.must_let_go()

    def run(
        self, task: str, model: type[MessageT], payload: object, body: Callable[[MessageT], Facts], *, task_id: str
    ) -> ErrorInfo | None:
        """Decode `payload`, run `body`, write one log line about it, and return what went wrong.

        Args:
            task: The task's name.
            model: What the payload has to be.
            payload: The message's only argument.
            body: Does the work, and says what its log line tells.
            task_id: Celery's name of the message, the same each time that it comes.
        """
        started = time.perf_counter()
        facts: Facts = {}
        error: ErrorInfo | None = None
        with (
            structlog.contextvars.bound_contextvars(task=task, task_id=task_id, **_origin(payload)),
            self._watchdog.watching(task),
        ):
            try:
                facts = body(_decode(model, payload))
            except OpinionError as problem:
                error = problem.info()
            except MemoryError:
                log.exception("out_of_memory", action="leaving the process")
                self._leave(MEMORY_EXIT)
            except BaseException as problem:
                error = InternalError(f"{type(problem).__name__}: {problem}").info()
                log.exception("task_broke")
            milliseconds = round((time.perf_counter() - started) * 1_000, 1)
            if error is None:
                # A tick that found nothing to do happens every few seconds and says nothing.
                tell = log.info if any(facts.values()) else log.debug
                tell("task_done", milliseconds=milliseconds, **facts)
            else:
                log.warning("task_failed", milliseconds=milliseconds, code=error.code, error=error.message, **facts)
        return error


def _origin(payload: object) -> dict[str, str]:
    """Return the id of the request that a message comes from, for its log lines and for the messages it leads to."""
    request_id = payload.get("request_id") if isinstance(payload, Mapping) else None
    return {"request_id": request_id[:REQUEST_ID_LENGTH]} if isinstance(request_id, str) else {}


def _decode(model: type[MessageT], payload: object) -> MessageT:
    try:
        return model.model_validate(payload)
    except ValidationError as problem:
        raise InvalidRequest(f"message cannot be read as {model.__name__}: {problem.error_count()} errors") from problem
