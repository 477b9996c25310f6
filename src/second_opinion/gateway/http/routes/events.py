"""The way of a query, as server-sent events: each stage once it is reached, then the end with the whole job."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Header
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from second_opinion.gateway.http.context import Gateway
from second_opinion.gateway.http.problems import answers
from second_opinion.gateway.http.routes.queries import Asker, Held, JobPath, visible_job
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.job import Job, JobState, Progress

HEARTBEAT_SECONDS: Final = 15.0
MARGIN_SECONDS: Final = 5.0
"""How long after its deadline a job is still followed."""
RETRY_MILLISECONDS: Final = 1_000
END: Final = "end"
NO_CONTENT: Final = 204
STREAM: Final = "text/event-stream"
BEAT: Final = b": still here\n\n"
_NUMBER: Final = re.compile(r"[0-9]{1,9}")

EXAMPLE: Final = """\
id: 0
event: stage
data: {"state":"queued","at":1771329600.25,"elapsed_ms":0.0}

id: 1
event: stage
data: {"state":"retrieving","at":1771329600.252,"elapsed_ms":2.0}

"""

EVENT: Final = {
    "description": "One event of the stream.",
    "type": "object",
    "properties": {
        "event": {"enum": ["stage", END, "problem"]},
        "id": {"type": "string", "description": "For `Last-Event-ID`."},
        "data": {"type": "string", "description": "JSON: a `StageEvent`, the `Job`, or an `ErrorInfo`."},
    },
}

router = APIRouter(prefix="/v1/queries", tags=["queries"])


class StageEvent(BaseModel):
    """A stage that a query has come to.

    Attributes:
        state: `queued`, `retrieving` or `reranking`; `retrieving` comes a second time, with the number of candidates,
            when these wait for a rerank worker.
        at: Unix seconds.
        elapsed_ms: Milliseconds since the query was submitted.
        candidates: How many candidates there are; absent until that is known.
    """

    state: JobState = Field(examples=["retrieving"])
    at: float
    elapsed_ms: float
    candidates: int | None = None


@router.get(
    "/{job_id}/events",
    summary="A question's stages, as they are reached",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `stage`, then one `end` with the job; comments in between keep the line open. "
            "What goes wrong meanwhile comes as `problem`, and ends the stream: connect again.",
            "content": {STREAM: {"schema": EVENT, "example": EXAMPLE}},
        },
        NO_CONTENT: {"description": "The end was heard already (`Last-Event-ID: end`); do not connect again."},
        **answers(404),
    },
)
async def events(
    held: Held,
    principal: Asker,
    job_id: JobPath,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="The last event that was heard; what follows is sent.")
    ] = None,
) -> Response:
    """Follow a question. Who connects again, with `Last-Event-ID`, hears what was missed; nothing is asked twice."""
    job = await visible_job(held, principal, job_id)
    if last_event_id == END:
        return Response(status_code=NO_CONTENT)
    number = _NUMBER.fullmatch(last_event_id or "")
    heard = int(number[0]) if number else -1
    seconds = max(0.0, job.expires_at - held.parts.stores.clock.now()) + MARGIN_SECONDS
    stream = _Stream(held, job_id, seconds, heard)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream.events(), headers=headers, media_type=STREAM)


@dataclass(slots=True)
class _Stream:
    """One caller's way of following a job.

    Attributes:
        heard: Number of the last event that the caller has.
    """

    held: Gateway
    job_id: str
    seconds: float
    heard: int

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events that the caller has not heard, and a comment whenever nothing comes for a while."""
        yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
        jobs = self.held.parts.jobs.follow(self.job_id, self.seconds)
        try:
            async with aclosing(jobs), aclosing(_patiently(jobs, self.held)) as looks:
                async for job in looks:
                    for told in [BEAT] if job is None else self._news(job):
                        yield told
        except OpinionError as problem:
            # The stream has begun, so its status can no longer tell. The caller connects again, or asks for the job.
            yield _event("problem", problem.info().model_dump_json(), None)

    def _news(self, job: Job) -> Iterator[bytes]:
        for number, stage in enumerate(stages(job)):
            if number > self.heard:
                self.heard = number
                yield _event("stage", stage.model_dump_json(exclude_none=True), str(number))
        if job.is_terminal:
            yield _event("end", job.model_dump_json(), END)


def stages(job: Job) -> Iterator[StageEvent]:
    """Yield the stages that a job has come to so far, in their order; they only ever grow in number."""
    candidates: int | None = None
    for step in (Progress(state=JobState.QUEUED, at=job.submitted_at), *job.progress):
        candidates = step.candidates if step.candidates is not None else candidates
        elapsed = max(0.0, step.at - job.submitted_at) * 1_000
        yield StageEvent(state=step.state, at=step.at, elapsed_ms=round(elapsed, 3), candidates=candidates)


async def _patiently(jobs: AsyncIterator[Job], held: Gateway) -> AsyncGenerator[Job | None]:
    """Yield what comes, and None whenever nothing does for a while; let go when the gateway stops."""
    coming: asyncio.Future[Job | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(jobs))
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    job = await held.until(asyncio.shield(coming))
            except TimeoutError:
                yield None
                continue
            if job is None:
                return
            coming = None
            yield job
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, OpinionError):
                await coming


async def _next(jobs: AsyncIterator[Job]) -> Job | None:
    return await anext(jobs, None)


def _event(name: str, data: str, number: str | None) -> bytes:
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {name}\ndata: {data}\n\n".encode()
