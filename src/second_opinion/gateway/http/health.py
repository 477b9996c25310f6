"""Whether this process lives, and whether it can work. Neither needs a key, so neither says more than that."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.schemas.errors import OpinionError

router = APIRouter(tags=["health"])

UNAVAILABLE = 503
PATIENCE_SECONDS = 4.0


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether the servers that every request needs can be reached: `ok`, or the code of what went wrong."""

    status: Literal["ready", "not_ready"]
    elasticsearch: str
    redis: str


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> Alive:
    """Answer as long as the process can; asks no server."""
    return Alive()


@router.get("/readyz", summary="Whether it can work", responses={UNAVAILABLE: {"model": Readiness}})
async def readyz(held: Annotated[Gateway, Depends(gateway_held)], response: Response) -> Readiness:
    """Ask Elasticsearch and Redis, and say which of them does not answer."""
    store, jobs = await asyncio.gather(
        _state(held, held.parts.stores.collections.names), _state(held, held.parts.jobs.count_waiting)
    )
    ready = store == jobs == "ok" and not held.waiting.stopping
    if not ready:
        response.status_code = UNAVAILABLE
    return Readiness(status="ready" if ready else "not_ready", elasticsearch=store, redis=jobs)


async def _state(held: Gateway, ask: Callable[[], object]) -> str:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await held.run(ask)
    except OpinionError as problem:
        return problem.code
    except TimeoutError:
        return "no_answer"
    return "ok"
