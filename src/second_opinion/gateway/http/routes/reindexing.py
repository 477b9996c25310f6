"""A collection's move to another index: begun, watched, switched, taken back, finished."""

from typing import Annotated, Final

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import AT, COLLECTION, said, shown
from second_opinion.gateway.http.preferences import answer
from second_opinion.gateway.http.problems import answers
from second_opinion.gateway.http.routes.documents import Collection
from second_opinion.schemas import base
from second_opinion.schemas.collection import ReindexAction, ReindexStatus

FILLING: Final = ReindexStatus(
    collection=COLLECTION,
    phase="filling",
    index=f"opinion-chunks-{COLLECTION}-000001",
    source=f"opinion-chunks-{COLLECTION}-000001",
    target=f"opinion-chunks-{COLLECTION}-000002",
    documents=412,
    done=96,
    began_at=AT,
)

router = APIRouter(prefix="/v1/collections/{collection}/reindex", tags=["collections"])

Held = Annotated[Gateway, Depends(gateway_held)]
Keeper = Annotated[Principal, Depends(require("admin"))]


class ReindexRequest(base.Request):
    """A step of a reindex.

    Attributes:
        action: `begin` makes an index by the settings as they are now, and fills it; to begin again tries what failed
            once more. `switch` lets readers have it; `rollback` lets them go back; `finish` removes the former index,
            `abandon` the new one.
        hold: Begin without switching by itself once the new index holds every document.
        leave_behind: Switch although some documents could not be made anew; they are not found from then on.
    """

    action: ReindexAction = Field(default="begin", examples=["begin"])
    hold: bool = False
    leave_behind: bool = False


@router.get(
    "",
    summary="How the reindex of a collection stands",
    response_model=ReindexStatus,
    responses={
        200: shown(ReindexStatus, "Its phase is `none` when there is none.", filling=FILLING),
        **answers(404, 409),
    },
)
async def status(request: Request, held: Held, principal: Keeper, collection: Collection) -> Response:
    """Return how far it is, and which documents could not be made anew, and why."""
    principal.enter(collection)
    return answer(request, await held.run(held.client.reindex_status, collection))


@router.post(
    "",
    summary="Move a collection to another index, under load",
    response_model=ReindexStatus,
    responses={200: shown(ReindexStatus, "How it stands now.", filling=FILLING), **answers(404, 409)},
)
async def act(
    request: Request,
    held: Held,
    principal: Keeper,
    collection: Collection,
    step: Annotated[
        ReindexRequest,
        Body(openapi_examples=said(begin={}, by_hand={"hold": True}, back={"action": "rollback"})),
    ],
) -> Response:
    """Begin a reindex, or do its next step. The workers fill the new index; both are written until it is finished."""
    principal.enter(collection)
    found = await held.run(held.client.reindex, collection, step.action, hold=step.hold, leave_behind=step.leave_behind)
    return answer(request, found)
