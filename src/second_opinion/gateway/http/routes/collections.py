"""Collections: their own choices for queries, and what is in them."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import COLLECTION, COLLECTION_RECORD, said, shown
from second_opinion.gateway.http.preferences import answer
from second_opinion.gateway.http.problems import answers
from second_opinion.gateway.http.routes.documents import Collection
from second_opinion.schemas.collection import CollectionRecord, QueryDefaults, QueryOverrides
from second_opinion.schemas.document import DocumentState

NO_CONTENT: Final = 204

router = APIRouter(prefix="/v1/collections", tags=["collections"])

Held = Annotated[Gateway, Depends(gateway_held)]
Reader = Annotated[Principal, Depends(require("query"))]
Keeper = Annotated[Principal, Depends(require("admin"))]


class Collections(BaseModel):
    """The collections that the key sees, by name."""

    collections: list[CollectionRecord]


class CollectionStats(BaseModel):
    """What is in a collection.

    Attributes:
        documents: How many documents are in each state; a second behind.
        chunks: Chunks in the index, those of former versions that are not removed yet included.
        index: The physical index that queries read.
        calibration: Id of its own calibration; null when the reranker's holds.
        failed: Documents whose newest version failed: the dead letters.
        choices: How a query is answered that does not say otherwise.
        fields: Metadata fields that can be filtered on, and their types.
    """

    collection: str
    documents: dict[DocumentState, int] = Field(examples=[{"indexed": 412, "failed": 3}])
    chunks: int
    index: str
    calibration: str | None
    failed: int
    choices: QueryDefaults
    fields: dict[str, str]


@router.get(
    "",
    summary="The collections that the key sees",
    response_model=Collections,
    responses={200: shown(Collections, "By name.", two=Collections(collections=[COLLECTION_RECORD]))},
)
async def listed(request: Request, held: Held, principal: Reader) -> Response:
    """List collections."""
    found = await held.run(held.parts.stores.collections.records)
    return answer(request, Collections(collections=[one for one in found if principal.sees(one.name)]))


@router.get(
    "/{collection}",
    summary="A collection",
    response_model=CollectionRecord,
    responses={200: shown(CollectionRecord, "With its own choices.", handbook=COLLECTION_RECORD), **answers(404, 409)},
)
async def one(request: Request, held: Held, principal: Reader, collection: Collection) -> Response:
    """Return a collection."""
    principal.enter(collection)
    return answer(request, await held.run(held.client.collection, collection))


@router.put(
    "/{collection}",
    summary="Make a collection, or set its own choices for queries",
    response_model=CollectionRecord,
    responses={200: shown(CollectionRecord, "As it now is.", handbook=COLLECTION_RECORD), **answers(404, 409)},
)
async def put(
    request: Request,
    held: Held,
    principal: Keeper,
    collection: Collection,
    overrides: Annotated[QueryOverrides, Body(openapi_examples=said(none={}, stricter={"floor": 0.5, "top_k": 5}))],
) -> Response:
    """Set a collection's own choices, in place of those it had; what is left out comes from the settings."""
    principal.enter(collection)
    choices = overrides.model_dump(exclude_none=True)
    return answer(request, await held.run(held.client.set_collection, collection, **choices))


@router.delete(
    "/{collection}",
    summary="Delete a collection",
    status_code=NO_CONTENT,
    response_class=Response,
    responses={
        NO_CONTENT: {"description": "It is gone, with all its documents, traces and judgements."},
        **answers(404),
    },
)
async def delete(held: Held, principal: Keeper, collection: Collection) -> Response:
    """Delete a collection with everything in it."""
    principal.enter(collection)
    await held.run(held.client.delete_collection, collection)
    return Response(status_code=NO_CONTENT)


@router.get(
    "/{collection}/stats",
    summary="What is in a collection",
    response_model=CollectionStats,
    responses={
        200: shown(
            CollectionStats,
            "Counts of this moment.",
            handbook=CollectionStats(
                collection=COLLECTION,
                documents={DocumentState.INDEXED: 412, DocumentState.FAILED: 3},
                chunks=6_120,
                index=COLLECTION_RECORD.index,
                calibration=None,
                failed=3,
                choices=QueryDefaults(floor=0.5),
                fields={"team": "keyword"},
            ),
        ),
        **answers(404, 409),
    },
)
async def stats(request: Request, held: Held, principal: Reader, collection: Collection) -> Response:
    """Return how much is in a collection, and how queries to it are answered."""
    principal.enter(collection)
    stores = held.parts.stores
    record = await held.run(held.client.collection, collection)
    documents, chunks, choices, fields = await asyncio.gather(
        held.run(stores.documents.counts, collection),
        held.run(stores.chunks.count, record.index),
        held.run(held.parts.queries.choices, collection),
        held.run(stores.collections.field_types, collection),
    )
    found = CollectionStats(
        collection=collection,
        documents=documents,
        chunks=chunks,
        index=record.index,
        calibration=record.calibration,
        failed=documents.get(DocumentState.FAILED, 0),
        choices=choices,
        fields=fields,
    )
    return answer(request, found)
