"""What past queries left: a list of them, and each with every candidate's numbers, judgements and text."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from second_opinion.gateway.evidence import LOOK_SECONDS, TRACE_DELAY
from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import CHUNK, CHUNK_ID, JUDGEMENT, TRACE, TRACE_LINE, shown
from second_opinion.gateway.http.preferences import answer
from second_opinion.gateway.http.presence import while_there
from second_opinion.gateway.http.problems import answers
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import CollectionName
from second_opinion.schemas.errors import InvalidRequest, UnknownTrace
from second_opinion.schemas.trace import Judgement, Trace, TracePlace, TraceSummary

LARGEST_PAGE: Final = 500
SEPARATOR: Final = "~"

router = APIRouter(prefix="/v1/traces", tags=["evidence"])

Held = Annotated[Gateway, Depends(gateway_held)]
Reader = Annotated[Principal, Depends(require("query"))]
OneCollection = Annotated[
    CollectionName | None, Query(description="Only this collection; without it, all that the key sees.")
]


class TracePage(BaseModel):
    """Past queries, the newest first.

    Attributes:
        next: What `before` has to be for the page that follows; null on the last one.
    """

    traces: list[TraceSummary]
    next: str | None = None


class TraceView(BaseModel):
    """A query with all that is known of its candidates; judgements and chunks by chunk id.

    Attributes:
        chunks: Those that are still there: a trace holds no text, and a document may have changed.
    """

    trace: Trace
    judgements: dict[str, Judgement]
    chunks: dict[str, ChunkHit]


@router.get(
    "",
    summary="Past queries, the newest first",
    response_model=TracePage,
    responses={
        200: shown(TracePage, "A page; a second or two behind.", page=TracePage(traces=[TRACE_LINE])),
        **answers(404),
    },
)
async def listed(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: Request,
    held: Held,
    principal: Reader,
    collection: OneCollection = None,
    before: Annotated[str | None, Query(max_length=128, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
) -> Response:
    """List past queries, a page at a time."""
    within = one_collection(principal, collection)
    place = None if before is None else _place(before)
    found = await held.run(held.client.evidence.traces, within, before=place, limit=limit)
    following = f"{found[-1].at!r}{SEPARATOR}{found[-1].job_id}" if len(found) == limit else None
    return answer(request, TracePage(traces=found, next=following))


@router.get(
    "/{job_id}",
    summary="A past query with every candidate's numbers",
    response_model=TraceView,
    responses={
        200: shown(
            TraceView,
            "Every stage's numbers, what people judged, and the texts that are still there.",
            trace=TraceView(trace=TRACE, judgements={CHUNK_ID: JUDGEMENT}, chunks={CHUNK_ID: CHUNK}),
        ),
        **answers(404),
    },
)
async def one(
    request: Request,
    held: Held,
    principal: Reader,
    job_id: Annotated[str, Path(description="The id of the query's job.", examples=["01JX4KQ6T2"])],
) -> Response:
    """Return a trace; one of a query that was answered this moment is waited for."""
    trace = await while_there(request, held.until(visible_trace(held, principal, job_id)))
    evidence = held.client.evidence
    judged, chunks = await asyncio.gather(held.run(evidence.judged, trace), held.run(evidence.chunks, trace))
    return answer(request, TraceView(trace=trace, judgements=judged, chunks=chunks))


async def visible_trace(held: Gateway, principal: Principal, job_id: str) -> Trace:
    """Return the trace of a query in a collection that the principal sees, once it is there.

    Raises:
        UnknownTrace: If there is none; likewise if it is another's.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + TRACE_DELAY
    while (trace := await held.run(held.client.evidence.find_trace, job_id)) is None:
        if loop.time() >= until:
            raise UnknownTrace(f"there is no trace of job {job_id}")
        await asyncio.sleep(LOOK_SECONDS)
    if not principal.sees(trace.collection):
        raise UnknownTrace(f"there is no trace of job {job_id}")
    return trace


def one_collection(principal: Principal, collection: str | None) -> str | None:
    """Return which collection is meant where one may be left out; None is all of them.

    Raises:
        UnknownCollection: If the principal does not see it.
        InvalidRequest: If it sees several, but not all, and names none.
    """
    if collection is not None:
        principal.enter(collection)
        return collection
    if principal.sees_all:
        return None
    if len(principal.collections) == 1:
        return next(iter(principal.collections))
    raise InvalidRequest(
        "this key sees several collections, and none is named",
        hint=f"Name one: ?collection={min(principal.collections, default='NAME')}",
    )


def _place(before: str) -> TracePlace:
    moment, _, job_id = before.partition(SEPARATOR)
    try:
        return float(moment), job_id
    except ValueError:
        raise InvalidRequest(
            f"before: {before!r} is no place in a list of traces", hint="Send `next` of the page before as it is."
        ) from None
