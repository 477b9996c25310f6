"""Thin tasks: decode, call the pipeline, store. `register` binds those of one role to its parts."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from celery import Celery

from second_opinion.schemas.base import Versioned
from second_opinion.schemas.messages import (
    AcceptDocuments,
    ExtractDocument,
    IndexDocuments,
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


def register(app: Celery, role: Role, settings: Settings, runner: TaskRunner) -> None:
    """Register the tasks of a role. Roles with a thread pool open their parts now, models included.

    Raises:
        OpinionError: If a model cannot be used.
    """

    def bind(
        task: str, model: type[MessageT], parts: PerProcess[PartsT], body: Callable[[MessageT, PartsT], Facts]
    ) -> None:
        @app.task(name=task, ignore_result=True)
        def run(payload: Any = None) -> None:
            runner.run(task, model, payload if payload is not None else {}, lambda message: body(message, parts()))

    if role == "intake":
        callers = PerProcess(partial(bootstrap.callers, settings))
        callers()
        bind(routing.ACCEPT, AcceptDocuments, callers, intake.accept_documents)
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
        limit = settings.task_limit_seconds * SHARE_OF_LIMIT
        bind(routing.INDEX, IndexDocuments, index, partial(ingest.index_documents, limit=limit))
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
