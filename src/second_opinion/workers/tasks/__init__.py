"""Thin tasks: decode, call the pipeline, store. `register` binds those of one role to its parts."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from celery import Celery, Task
from celery.exceptions import Reject

from second_opinion.schemas.base import Versioned
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.messages import (
    AcceptDocuments,
    ExtractDocument,
    IndexDocuments,
    RemakeDocuments,
    RerankCandidates,
    RunQuery,
    SubmitQuery,
)
from second_opinion.workers import bootstrap, routing
from second_opinion.workers.routing import Role
from second_opinion.workers.runner import Facts, TaskRunner
from second_opinion.workers.settings import Settings
from second_opinion.workers.tasks import ingest, intake, rerank, retrieve

PartsT = TypeVar("PartsT")
MessageT = TypeVar("MessageT", bound=Versioned)

# An index task lets go a little before the watchdog would end its worker.
SHARE_OF_LIMIT = 0.8
PAUSE_SECONDS = 1.0
"""How long a thread waits before it gives a message back: its queue would hand it out again at once."""


class PerProcess(Generic[PartsT]):
    """Parts opened once a process: connections do not survive a fork."""

    def __init__(self, make: Callable[[], PartsT]) -> None:
        self._make = make
        self._opened: tuple[int, PartsT] | None = None

    def __call__(self) -> PartsT:
        """Return the parts of this process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), self._make())
        return self._opened[1]


def give_back_when_transient(error: ErrorInfo | None) -> None:
    """Give a message back to its queue if what failed may work later: what is sent by name is nowhere else yet."""
    if error is not None and error.transient:
        time.sleep(error.retry_after or PAUSE_SECONDS)
        raise Reject(error.code, requeue=True)


def _payload(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Return a message's only argument; anything else is returned as what no message can be read from."""
    arguments = [*given, *named.values()] if set(named) <= {"payload"} else [*given, named]
    if len(arguments) > 1:
        return arguments
    return {} if arguments in ([], [None]) else arguments[0]


def register(app: Celery, role: Role, settings: Settings, runner: TaskRunner) -> None:
    """Register the tasks of a role. Roles with a thread pool open their parts now, models included.

    Raises:
        OpinionError: If a model cannot be used.
    """

    def bind(
        task: str,
        model: type[MessageT],
        parts: PerProcess[PartsT],
        body: Callable[[MessageT, PartsT], Facts],
        ended: Callable[[ErrorInfo | None], object] = lambda _error: None,
    ) -> None:
        @app.task(name=task, ignore_result=True, bind=True)
        def run(self: Task[..., None], *given: Any, **named: Any) -> None:
            payload, task_id = _payload(given, named), self.request.id or ""
            ended(runner.run(task, model, payload, lambda message: body(message, parts()), task_id=task_id))

    if role == "intake":
        callers = PerProcess(partial(bootstrap.callers, settings))
        callers()
        bind(routing.ACCEPT, AcceptDocuments, callers, intake.accept_documents, give_back_when_transient)
        bind(routing.SUBMIT_QUERY, SubmitQuery, callers, intake.submit_query)
    elif role == "extract":
        bind(
            routing.EXTRACT,
            ExtractDocument,
            PerProcess(partial(bootstrap.extract_parts, settings)),
            ingest.extract_document,
        )
    elif role == "index":
        index = PerProcess(partial(bootstrap.index_parts, settings))
        index()
        patience = ingest.Patience(settings.task_limit_seconds * SHARE_OF_LIMIT, runner.must_let_go)
        bind(routing.INDEX, IndexDocuments, index, partial(ingest.index_documents, patience=patience))
        bind(routing.REMAKE, RemakeDocuments, index, partial(ingest.remake_documents, patience=patience))
    elif role == "retrieve":
        retrieving = PerProcess(partial(bootstrap.retrieve_parts, settings, runner.pulse))
        retrieving()
        bind(routing.RETRIEVE, RunQuery, retrieving, retrieve.run_query)
    elif role == "rerank":
        reranking = PerProcess(partial(bootstrap.rerank_parts, settings, runner.pulse))
        reranking()
        bind(routing.RERANK, RerankCandidates, reranking, rerank.rerank_candidates)
    else:
        maintenance = PerProcess(partial(bootstrap.maintenance_parts, settings))
        bind(routing.RECONCILE, ingest.Tick, maintenance, ingest.reconcile)
        bind(routing.SWEEP, ingest.Tick, maintenance, ingest.sweep)
