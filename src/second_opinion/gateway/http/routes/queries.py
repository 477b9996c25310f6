"""Queries: asked, waited for or asked about again, cancelled, and explained document by document."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Final

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import StringConstraints
from pydantic.json_schema import SkipJsonSchema

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import ANSWERED_JOB, EXPLANATION, QUESTIONS, QUEUED_JOB, shown
from second_opinion.gateway.http.preferences import IfNoneMatch, Prefer, answer, wait_of
from second_opinion.gateway.http.presence import while_there
from second_opinion.gateway.http.problems import answers
from second_opinion.schemas.errors import IdempotencyConflict, UnknownJob
from second_opinion.schemas.explanation import Explanation
from second_opinion.schemas.job import Job
from second_opinion.schemas.query import QueryRequest

OK: Final = 200
ACCEPTED: Final = 202
KEY_BYTES: Final = 16
ATTEMPTS: Final = 50

router = APIRouter(prefix="/v1/queries", tags=["queries"])

Held = Annotated[Gateway, Depends(gateway_held)]
Asker = Annotated[Principal, Depends(require("query"))]
JobPath = Annotated[str, Path(description="The id of the query's job.", examples=["01JX4KQ6T2"])]


class QuerySubmission(QueryRequest):
    """One question; what is left open comes from the collection, then from the settings."""

    # Ids of others' jobs must not be guessed: a caller that wants to ask once sends an Idempotency-Key.
    job_id: SkipJsonSchema[None] = None


IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | None,
    Header(
        alias="Idempotency-Key",
        description="A name of your own for this question: sent again with it, it is asked once.",
        examples=["order-4711"],
    ),
]


@router.post(
    "",
    summary="Ask a question",
    status_code=ACCEPTED,
    response_model=Job,
    responses={
        ACCEPTED: shown(Job, "The question is queued; its job is at `Location`.", queued=QUEUED_JOB),
        OK: shown(Job, "It ended while you waited: answered, refused, failed or cancelled.", answered=ANSWERED_JOB),
        **answers(404),
    },
)
async def submit(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: Request,
    held: Held,
    principal: Asker,
    submission: Annotated[QuerySubmission, Body(openapi_examples=QUESTIONS)],
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ask a question. With `Prefer: wait=N` the answer comes in the same request, if it is there in time."""
    principal.enter(submission.collection)
    if idempotency_key is None:
        job = await held.run(held.parts.queries.submit, submission)
    else:
        names = [idempotent_id(principal, idempotency_key, attempt) for attempt in range(ATTEMPTS)]
        job = await held.run(submit_once, held, submission, names)
    wait = wait_of(prefer)
    if wait and not job.is_terminal:
        job = await while_there(request, held.wait_job(job.job_id, wait))
    headers = {"Location": f"/v1/queries/{job.job_id}", **_applied(wait)}
    return answer(request, job, status=OK if job.is_terminal else ACCEPTED, headers=headers)


@router.get(
    "/{job_id}",
    summary="A question's job, and its answer once it is there",
    response_model=Job,
    responses={OK: shown(Job, "The job as it is now.", answered=ANSWERED_JOB, queued=QUEUED_JOB), **answers(404)},
)
async def read(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: Request,
    held: Held,
    principal: Asker,
    job_id: JobPath,
    prefer: Prefer = None,
    if_none_match: IfNoneMatch = None,  # noqa: ARG001 - read where the answer is made
) -> Response:
    """Return a job as it is; with `Prefer: wait=N`, once it has ended, or as it is then."""
    job = await visible_job(held, principal, job_id)
    wait = wait_of(prefer)
    if wait and not job.is_terminal:
        job = await while_there(request, held.wait_job(job_id, wait))
    return answer(request, job, headers=_applied(wait))


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a question",
    response_model=Job,
    responses={
        OK: shown(Job, "The job as it then is; one that had ended stays as it was.", ended=ANSWERED_JOB),
        **answers(404),
    },
)
async def cancel(request: Request, held: Held, principal: Asker, job_id: JobPath) -> Response:
    """Cancel a job; the workers leave it alone from then on."""
    await visible_job(held, principal, job_id)
    return answer(request, await held.run(held.client.cancel, job_id))


@router.get(
    "/{job_id}/why",
    summary="Why a document is, or is not, in an answer",
    response_model=Explanation,
    responses={OK: shown(Explanation, "The stage it came to, with the numbers.", dropped=EXPLANATION), **answers(404)},
)
async def why(
    request: Request,
    held: Held,
    principal: Asker,
    job_id: JobPath,
    document: Annotated[str, Query(min_length=1, max_length=512, description="The document's id.")],
) -> Response:
    """Say what became of a document in the answer to a question: which stage it did not pass."""
    await visible_job(held, principal, job_id)
    return answer(request, await held.run(held.client.why, job_id, document))


async def visible_job(held: Gateway, principal: Principal, job_id: str) -> Job:
    """Return a job of a collection that the principal sees.

    Raises:
        UnknownJob: If there is none; likewise if it is another's.
    """
    job = await held.run(held.client.result, job_id)
    if not principal.sees(job.query.collection):
        raise UnknownJob(f"there is no job {job_id!r}, or its result has expired")
    return job


def idempotent_id(principal: Principal, key: str, attempt: int = 0) -> str:
    """Return the id of the job that a caller names by its Idempotency-Key; two callers' names never meet."""
    named = blake2b("\0".join((principal.id, key, str(attempt))).encode(), digest_size=KEY_BYTES)
    return f"h{named.hexdigest()}"


def submit_once(held: Gateway, asked: QueryRequest, names: Sequence[str]) -> Job:
    """Submit a question under the first of the caller's own ids under which none failed for a reason that may pass.

    Raises:
        IdempotencyConflict: If another question was asked under it before.
        OpinionError: As submitting does.
    """
    for job_id in names:
        try:
            job = held.client.result(job_id)
        except UnknownJob:
            job = held.parts.queries.submit(asked.model_copy(update={"job_id": job_id}))
        _require_same(asked, job)
        if job.error is None or not job.error.transient:
            break
    return job


def _require_same(asked: QueryRequest, job: Job) -> None:
    same = (asked.text, asked.collection, asked.filters) == (job.query.text, job.query.collection, job.query.filters)
    said = asked.over(job.query.choices)
    if not same or said != job.query.choices:
        raise IdempotencyConflict("this Idempotency-Key was sent with another question before")


def _applied(wait: float) -> dict[str, str]:
    return {"Preference-Applied": f"wait={wait:.0f}"} if wait else {}
