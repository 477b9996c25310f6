"""The fields of a job's hash in Redis: read, and those with which it ends."""

from collections.abc import Mapping
from typing import Any

from second_opinion.schemas.errors import ErrorInfo, InternalError, UnknownJob
from second_opinion.schemas.job import TERMINAL_STATES, Job, JobState
from second_opinion.schemas.query import Query
from second_opinion.schemas.verdict import QueryResult


def job_of(job_id: str, stored: Mapping[str, Any]) -> Job:
    """Return the job that a hash holds.

    Raises:
        UnknownJob: If it holds nothing.
        InternalError: If it cannot be read.
    """
    if not stored:
        raise unknown_job(job_id)
    try:
        read = {
            "job_id": job_id,
            "query": Query.model_validate_json(stored["query"]),
            "progress": [_step(line) for line in stored.get("progress", "").splitlines()],
            "result": QueryResult.model_validate_json(stored["result"]) if "result" in stored else None,
            "error": ErrorInfo.model_validate_json(stored["error"]) if "error" in stored else None,
        }
        return Job.model_validate({**stored, **read})
    except (KeyError, ValueError) as problem:
        raise InternalError(f"job {job_id} cannot be read: {problem}") from problem


def terminal_field(state: JobState, result: QueryResult | None, error: ErrorInfo | None) -> tuple[str, str]:
    """Return the field that goes with a terminal state, `result` or `error`, and its JSON.

    Raises:
        InternalError: If `state` is not terminal, or comes without what it has to bring.
    """
    if state is JobState.DONE and result is not None and error is None:
        return "result", result.model_dump_json()
    if state in TERMINAL_STATES - {JobState.DONE} and error is not None and result is None:
        return "error", error.model_dump_json()
    raise InternalError(f"a job cannot finish as {state} with result={result is not None}, error={error is not None}")


def _step(line: str) -> dict[str, str | None]:
    state, at, candidates = line.split(" ")
    return {"state": state, "at": at, "candidates": candidates or None}


def unknown_job(job_id: str) -> UnknownJob:
    """Return the error for an id that leads to no job."""
    return UnknownJob(f"there is no job {job_id!r}, or its result has expired")
