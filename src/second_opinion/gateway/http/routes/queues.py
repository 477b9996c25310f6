"""How the queues stand."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import AT, shown
from second_opinion.gateway.http.preferences import answer
from second_opinion.schemas.queues import QueueFigures

router = APIRouter(prefix="/v1/queues", tags=["operations"])


class Queues(BaseModel):
    """All queues, in the order in which work goes through them."""

    queues: list[QueueFigures]


@router.get(
    "",
    summary="How the queues stand",
    response_model=Queues,
    responses={
        200: shown(
            Queues,
            "Read from Redis and Elasticsearch at this moment.",
            busy=Queues(
                queues=[
                    QueueFigures(
                        name="index", depth=18, oldest_seconds=4.2, consumers=2, last_seen=AT, drain_seconds=31.0
                    )
                ]
            ),
        )
    },
)
async def figures(
    request: Request,
    held: Annotated[Gateway, Depends(gateway_held)],
    _principal: Annotated[Principal, Depends(require("admin"))],
) -> Response:
    """Return depth, age and pace of each queue, and who consumes it."""
    return answer(request, Queues(queues=await held.run(held.parts.queue_figures)))
