"""Asking many questions, several at a time, so that none is silently lost."""

import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from second_opinion.gateway.calls import result_of
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.pipeline.evaluation.datasets import Question
from second_opinion.schemas.errors import (
    BrokerUnavailable,
    ErrorInfo,
    InvalidRequest,
    JobStoreUnavailable,
    OpinionError,
    StoreUnavailable,
)
from second_opinion.schemas.evaluation import AskedCandidate, AskedQuery
from second_opinion.schemas.job import Job

GIVE_UP_AFTER: Final = 5
"""Failed queries in a row after which it is the system that fails, not the queries."""
TRIES: Final = 2
WAIT_MARGIN: Final = 1.0

_CANDIDATE_FIELDS: Final = set(AskedCandidate.model_fields)
_QUERY_FIELDS: Final = set(AskedQuery.model_fields) - {"schema_version", "candidates"}


@dataclass(frozen=True, slots=True)
class QuestionPlan:
    """How questions are asked: where, how many at once, how long one may take, and with which choices."""

    collection: str
    in_flight: int
    timeout: float
    choices: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A question with the job that answered it, or why none did."""

    question: Question
    job: Job | None = None
    error: ErrorInfo | None = None

    @property
    def is_failure(self) -> bool:
        """True when the system failed, not the question."""
        return self.error is not None and not isinstance(OpinionError.from_info(self.error), InvalidRequest)


class Desk:
    """Asks questions.

    Args:
        client: Used by several threads at once.
        plan: How to ask.
    """

    def __init__(self, client: OpinionClient, plan: QuestionPlan) -> None:
        self._client = client
        self._plan = plan
        self._under_way: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def ask_one(self, question: Question) -> Answer:
        """Ask one question.

        Raises:
            OpinionError: Why there is no answer.
        """
        job = self._client.submit_query(
            question.text, collection=self._plan.collection, timeout=self._plan.timeout, **self._plan.choices
        )
        with self._lock:
            self._under_way.add(job.job_id)
        try:
            job = self._client.wait(job.job_id, timeout=self._plan.timeout + WAIT_MARGIN)
            result_of(job)
        finally:
            with self._lock:
                self._under_way.discard(job.job_id)
        return Answer(question, job)

    def ask(self, questions: Sequence[Question]) -> Generator[Answer, None, None]:
        """Yield an answer for each question as it comes; one that fails is tried once more, then told as failed.

        When the iteration ends early, jobs under way are cancelled.

        Raises:
            OpinionError: When a server does not answer, or several questions in a row fail: then the system does.
        """
        failed_in_a_row = 0
        with ThreadPoolExecutor(self._plan.in_flight, thread_name_prefix="questions") as threads:
            pending: set[Future[Answer]] = {threads.submit(self._try, one) for one in questions}
            try:
                while pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for one in done:
                        answer = one.result()
                        yield answer
                        failed_in_a_row = failed_in_a_row + 1 if answer.is_failure else 0
                        if failed_in_a_row >= GIVE_UP_AFTER and answer.error is not None:
                            raise OpinionError.from_info(answer.error)
            finally:
                self._stop(pending)

    def _try(self, question: Question) -> Answer:
        """Ask a question, and once more if that fails."""
        failure: OpinionError | None = None
        for _ in range(TRIES):
            if self._stopped.is_set():
                break
            try:
                return self.ask_one(question)
            except InvalidRequest as problem:
                return Answer(question, error=problem.info())
            except OpinionError as problem:
                failure = problem
        if isinstance(failure, StoreUnavailable | BrokerUnavailable | JobStoreUnavailable):
            raise failure
        return Answer(question, error=(failure or OpinionError("the run was stopped")).info())

    def _stop(self, pending: set["Future[Answer]"]) -> None:
        """Let go of what is still to be done, so that waiting threads end now and not when their time is over."""
        if not pending:
            return
        self._stopped.set()
        for one in pending:
            one.cancel()
        with self._lock:
            under_way = list(self._under_way)
        for job_id in under_way:
            with suppress(OpinionError):
                self._client.cancel(job_id)


def asked_query(answer: Answer, missing: Sequence[str] = ()) -> AskedQuery:
    """Return the record of an answer, or of the failure to get one.

    Args:
        answer: What came of a question.
        missing: Its relevant documents that no reader could see.
    """
    query_id = answer.question.id
    if answer.job is None or answer.job.result is None:
        return AskedQuery(query_id=query_id, missing=tuple(missing), error=answer.error)
    result = answer.job.result
    passages = sorted((*result.kept, *result.dropped), key=lambda one: one.rank)
    shared = {name: getattr(result, name) for name in _QUERY_FIELDS if hasattr(result, name)}
    return AskedQuery(
        **{
            **shared,
            "query_id": query_id,
            "missing": tuple(missing),
            "choices": answer.job.query.choices,
            "candidates": tuple(
                AskedCandidate(**{name: getattr(one, name) for name in _CANDIDATE_FIELDS}) for one in passages
            ),
        }
    )
