"""What people say of passages: whether they are relevant to the question that they were found for."""

from typing import Annotated, Final

from fastapi import APIRouter, Body, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from pydantic import BaseModel, Field

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import CHUNK_ID, JOB_ID, JUDGEMENT, said, shown
from second_opinion.gateway.http.preferences import answer
from second_opinion.gateway.http.presence import while_there
from second_opinion.gateway.http.problems import answers
from second_opinion.gateway.http.routes.traces import OneCollection, one_collection, visible_trace
from second_opinion.schemas.base import Request
from second_opinion.schemas.query import JobId
from second_opinion.schemas.trace import Judgement

LARGEST_PAGE: Final = 1_000

router = APIRouter(prefix="/v1/judgements", tags=["evidence"])

Held = Annotated[Gateway, Depends(gateway_held)]
Judge = Annotated[Principal, Depends(require("query"))]


class JudgementInput(Request):
    """A judgement of one candidate.

    Attributes:
        job_id: The query.
        chunk: The candidate's chunk id, or its rank in the trace.
        relevant: Whether it answers the question; a later judgement takes its place.
    """

    job_id: JobId
    chunk: str = Field(min_length=1, max_length=200)
    relevant: bool


class JudgementPage(BaseModel):
    """Judgements by their key.

    Attributes:
        next: What `after` has to be for the page that follows; null on the last one.
    """

    judgements: list[Judgement]
    next: str | None = None


@router.post(
    "",
    summary="Judge a candidate",
    response_model=Judgement,
    responses={200: shown(Judgement, "It is recorded.", recorded=JUDGEMENT), **answers(404)},
)
async def judge(
    request: HttpRequest,
    held: Held,
    principal: Judge,
    given: Annotated[
        JudgementInput,
        Body(
            openapi_examples=said(
                chunk={"job_id": JOB_ID, "chunk": CHUNK_ID, "relevant": True},
                rank={"job_id": JOB_ID, "chunk": "3", "relevant": False},
            )
        ),
    ],
) -> Response:
    """Record whether a candidate is relevant to the question that it was found for."""
    await while_there(request, held.until(visible_trace(held, principal, given.job_id)))
    found = await held.run(held.client.evidence.judge, given.job_id, given.chunk, relevant=given.relevant)
    return answer(request, found)


@router.get(
    "",
    summary="Judgements, by their key",
    response_model=JudgementPage,
    responses={200: shown(JudgementPage, "A page.", page=JudgementPage(judgements=[JUDGEMENT])), **answers(404)},
)
async def listed(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: HttpRequest,
    held: Held,
    principal: Judge,
    collection: OneCollection = None,
    after: Annotated[str | None, Query(max_length=64, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
) -> Response:
    """List judgements, a page at a time."""
    within = one_collection(principal, collection)
    found = await held.run(held.client.evidence.judgements_page, within, after=after, limit=limit)
    return answer(request, JudgementPage(judgements=found, next=found[-1].key if len(found) == limit else None))
