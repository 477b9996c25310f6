"""What programs ask for in bulk: the statuses of many documents at once, and room for a first fill."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Response
from pydantic import BaseModel, Field

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import COLLECTION, STATUS, said, shown
from second_opinion.gateway.http.problems import answers
from second_opinion.schemas.base import Request as Payload
from second_opinion.schemas.collection import CollectionName
from second_opinion.schemas.document import DocumentId, DocumentStatus

router = APIRouter(prefix="/v1", tags=["documents"])

Held = Annotated[Gateway, Depends(gateway_held)]
Reader = Annotated[Principal, Depends(require("query"))]
Sender = Annotated[Principal, Depends(require("ingest"))]
Collection = Annotated[CollectionName, Path(description="The collection.", examples=["handbook"])]
NO_CONTENT = 204


class DocumentName(BaseModel):
    """Which document."""

    collection: CollectionName = Field(examples=["handbook"])
    id: DocumentId = Field(examples=["refunds.md"])


class StatusQuestion(Payload):
    """Which documents' statuses are wanted."""

    documents: list[DocumentName] = Field(max_length=500)


class StatusList(BaseModel):
    """The statuses of those that are known; the others are left out."""

    documents: list[DocumentStatus]


class LoadWish(Payload):
    """How long a first fill goes on when nobody asks for more."""

    seconds: float = Field(default=120.0, ge=1.0, le=600.0)


Asked = Annotated[
    StatusQuestion, Body(openapi_examples=said(one={"documents": [{"collection": COLLECTION, "id": "refunds.md"}]}))
]


@router.post(
    "/documents/statuses",
    summary="How far many documents are",
    responses={200: shown(StatusList, "Those that are known.", one=StatusList(documents=[STATUS]))},
)
async def statuses(held: Held, principal: Reader, asked: Asked) -> StatusList:
    """Return the statuses of up to 500 documents in one request."""
    names = [(one.collection, one.id) for one in asked.documents if principal.sees(one.collection)]
    found = await held.run(held.client.document_statuses, names) if names else {}
    return StatusList(documents=list(found.values()))


@router.put(
    "/collections/{collection}/load",
    summary="Begin a first fill, or let one go on",
    status_code=NO_CONTENT,
    responses=answers(404, 409),
)
async def begin_load(
    held: Held,
    principal: Sender,
    collection: Collection,
    wish: Annotated[LoadWish, Body(openapi_examples=said(minutes={"seconds": 120.0}))],
) -> Response:
    """Let a collection do without what only readers need until the seconds are over; made where there is none."""
    principal.enter(collection)
    stores = held.parts.stores
    await held.run(stores.collections.begin_load, collection, until=stores.clock.now() + wish.seconds)
    return Response(status_code=NO_CONTENT)


@router.delete(
    "/collections/{collection}/load", summary="End a first fill", status_code=NO_CONTENT, responses=answers(404, 409)
)
async def end_load(held: Held, principal: Sender, collection: Collection) -> Response:
    """Give a collection's indices the settings back that they had before."""
    principal.enter(collection)
    await held.run(held.parts.stores.collections.end_load, collection)
    return Response(status_code=NO_CONTENT)
