"""Documents that failed: why, another try with what was sent before, and giving them up."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Body, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from pydantic import BaseModel, Field

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import FAILED_STATUS, RECEIPT, said, shown
from second_opinion.gateway.http.preferences import answer
from second_opinion.gateway.http.problems import answers
from second_opinion.gateway.http.routes.documents import LARGEST_PAGE, Collection, DocumentPage, page_of
from second_opinion.schemas.base import Request
from second_opinion.schemas.document import DocumentId, DocumentState, Receipt

router = APIRouter(prefix="/v1/collections/{collection}/dead-letters", tags=["documents"])

Held = Annotated[Gateway, Depends(gateway_held)]
Reader = Annotated[Principal, Depends(require("query"))]
Sender = Annotated[Principal, Depends(require("ingest"))]


class DeadLetters(Request):
    """Failed documents, by id."""

    ids: list[DocumentId] = Field(min_length=1, max_length=LARGEST_PAGE)


class Receipts(BaseModel):
    """A receipt for each document, in order."""

    receipts: list[Receipt]


Named = Annotated[DeadLetters, Body(openapi_examples=said(two={"ids": ["refunds.md", "limits.md"]}))]
RECEIPTS: Final = shown(Receipts, "What became of each.", receipts=Receipts(receipts=[RECEIPT]))


@router.get(
    "",
    summary="Documents that failed",
    response_model=DocumentPage,
    responses={
        200: shown(DocumentPage, "With the reason and what to do.", page=DocumentPage(documents=[FAILED_STATUS])),
        **answers(404, 409),
    },
)
async def listed(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: HttpRequest,
    held: Held,
    principal: Reader,
    collection: Collection,
    after: Annotated[str | None, Query(max_length=512, description="Only those behind this id.")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
) -> Response:
    """List documents whose newest version failed, by id."""
    principal.enter(collection)
    return answer(request, await page_of(held, collection, state=DocumentState.FAILED, after=after, limit=limit))


@router.post(
    "/retry",
    summary="Try failed documents again",
    response_model=Receipts,
    responses={200: RECEIPTS, **answers(404)},
)
async def retry(
    request: HttpRequest, held: Held, principal: Sender, collection: Collection, letters: Named
) -> Response:
    """Begin anew on failed documents, with what was sent before."""
    return await _each(request, held, principal, collection, letters, held.client.retry_documents)


@router.post(
    "/purge",
    summary="Give failed documents up",
    response_model=Receipts,
    responses={200: RECEIPTS, **answers(404)},
)
async def purge(
    request: HttpRequest, held: Held, principal: Sender, collection: Collection, letters: Named
) -> Response:
    """Give up failed versions: an older one that is searchable stays, otherwise the document goes."""
    return await _each(request, held, principal, collection, letters, held.client.purge_documents)


async def _each(  # noqa: PLR0913, PLR0917 - what both routes have
    request: HttpRequest,
    held: Gateway,
    principal: Principal,
    collection: str,
    letters: DeadLetters,
    work: Callable[..., list[Receipt]],
) -> Response:
    principal.enter(collection)
    # An id that is named twice is one document.
    ids = list(dict.fromkeys(letters.ids))
    return answer(request, Receipts(receipts=await held.run(work, ids, collection=collection)))
