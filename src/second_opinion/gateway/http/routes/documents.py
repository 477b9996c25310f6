"""Documents: sent one by one or as a stream of lines, watched until they are searchable, listed, and deleted."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import CHUNK, DOCUMENTS, RECEIPT, REJECTED, STATUS, shown
from second_opinion.gateway.http.ndjson import MEDIA_TYPE, Line, ReceiptStream, rejected
from second_opinion.gateway.http.preferences import IfNoneMatch, Prefer, answer, wait_of
from second_opinion.gateway.http.presence import while_there
from second_opinion.gateway.http.problems import answers
from second_opinion.gateway.http.settling import DocumentWaits
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import CollectionName
from second_opinion.schemas.document import (
    AcceptOutcome,
    DocumentInput,
    DocumentState,
    DocumentStatus,
    Receipt,
)
from second_opinion.schemas.errors import GatewayStopping, OpinionError, Overloaded, UnknownCollection

ACCEPTED: Final = 202
UNSUPPORTED: Final = 415
PATIENCE_SECONDS: Final = 60.0
"""How long lines wait for room before their sender is told to come back."""
LINES: Final = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/ndjson"})
LARGEST_PAGE: Final = 500

router = APIRouter(prefix="/v1", tags=["documents"])

Held = Annotated[Gateway, Depends(gateway_held)]
Sender = Annotated[Principal, Depends(require("ingest"))]
Reader = Annotated[Principal, Depends(require("query"))]
Collection = Annotated[CollectionName, Path(description="The collection.", examples=["handbook"])]
DocumentPath = Annotated[str, Path(description="The document's id; slashes are part of it.", examples=["refunds.md"])]


class DocumentPage(BaseModel):
    """Documents by id.

    Attributes:
        next: What `after` has to be for the page that follows; null on the last one.
    """

    documents: list[DocumentStatus]
    next: str | None = None


class Chunks(BaseModel):
    """The chunks of a document that queries see, in order."""

    chunks: list[ChunkHit]


@router.post(
    "/documents",
    summary="Send a document",
    status_code=ACCEPTED,
    response_model=Receipt,
    responses={
        ACCEPTED: shown(Receipt, "It is recorded durably; `Location` says how it goes on.", accepted=RECEIPT),
        **answers(404, 409),
    },
)
async def send(
    request: Request,
    held: Held,
    principal: Sender,
    document: Annotated[DocumentInput, Body(openapi_examples=DOCUMENTS)],
) -> Response:
    """Send one document. Sending it again, unchanged, does nothing: a request that got no answer may be repeated."""
    principal.enter(document.collection)
    receipt = await held.run(held.client.submit_document, document)
    where = f"/v1/collections/{document.collection}/documents/{quote(document.id, safe='')}"
    return answer(request, receipt, status=ACCEPTED, headers={"Location": where})


@router.post(
    "/documents/batch",
    summary="Send documents as JSON lines, and read receipts meanwhile",
    response_class=Response,
    responses={
        200: {
            "description": "A receipt for each line, in order; a line that cannot be taken in has an error that "
            "names it. Read them while you send: beyond some megabytes of unread receipts no more lines are read.",
            "content": {
                MEDIA_TYPE: {
                    "schema": {"type": "string", "description": "A `Receipt` on each line."},
                    "example": f"{RECEIPT.model_dump_json()}\n{REJECTED.model_dump_json()}\n",
                }
            },
        },
        **answers(UNSUPPORTED),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                MEDIA_TYPE: {
                    "schema": {"type": "string", "description": "A `DocumentInput` on each line, of any number."},
                    "example": '{"id":"refunds.md","text":"A manager approves refunds."}\n{"id":"b","text":"More."}\n',
                }
            },
        }
    },
)
async def send_batch(request: Request, held: Held, principal: Sender) -> Response:
    """Send any number of documents in one request. Where there is no room for more, the stream waits."""
    kind = request.headers.get("content-type", MEDIA_TYPE).partition(";")[0].strip().lower()
    if kind not in LINES:
        raise HTTPException(UNSUPPORTED, f"Documents are sent as lines: Content-Type: {MEDIA_TYPE}")

    async def accept(lines: Sequence[Line]) -> list[Receipt]:
        return await _accept(held, principal, lines)

    return ReceiptStream(accept, longest=held.settings.gateway_max_body_bytes, until=held.until)


@router.get(
    "/collections/{collection}/documents",
    summary="The documents of a collection, by id",
    response_model=DocumentPage,
    responses={
        200: shown(DocumentPage, "A page; a second behind.", page=DocumentPage(documents=[STATUS])),
        **answers(404, 409),
    },
)
async def listed(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: Request,
    held: Held,
    principal: Reader,
    collection: Collection,
    state: Annotated[DocumentState | None, Query(description="Only those in this state.")] = None,
    after: Annotated[str | None, Query(max_length=512, description="Only those behind this id.")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
) -> Response:
    """List documents, a page at a time."""
    principal.enter(collection)
    return answer(request, await page_of(held, collection, state=state, after=after, limit=limit))


@router.get(
    "/collections/{collection}/chunks",
    summary="The chunks of a document that queries see",
    response_model=Chunks,
    responses={200: shown(Chunks, "In order.", chunks=Chunks(chunks=[CHUNK])), **answers(404, 409)},
)
async def chunks(
    request: Request,
    held: Held,
    principal: Reader,
    collection: Collection,
    document: Annotated[str, Query(min_length=1, max_length=512, description="The document's id.")],
) -> Response:
    """Return what a document was cut into."""
    principal.enter(collection)
    found = await held.run(held.client.document_chunks, document, collection=collection)
    return answer(request, Chunks(chunks=found))


@router.get(
    "/collections/{collection}/documents/{document_id:path}",
    summary="What is known of a document",
    response_model=DocumentStatus,
    responses={200: shown(DocumentStatus, "As it is now.", indexed=STATUS), **answers(404)},
)
async def status(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: Request,
    held: Held,
    principal: Reader,
    collection: Collection,
    document_id: DocumentPath,
    prefer: Prefer = None,
    if_none_match: IfNoneMatch = None,  # noqa: ARG001 - read where the answer is made
) -> Response:
    """Return how far a document is; with `Prefer: wait=N`, once its newest version is searchable or has failed."""
    principal.enter(collection)
    known = await held.run(held.client.document_status, document_id, collection=collection)
    wait = wait_of(prefer)
    if wait and known.state is DocumentState.RECEIVED:
        waits = document_waits(held)
        await while_there(request, held.until(waits.settled((collection, document_id), wait)))
        known = await held.run(held.client.document_status, document_id, collection=collection)
    return answer(request, known, headers={"Preference-Applied": f"wait={wait:.0f}"} if wait else {})


@router.delete(
    "/collections/{collection}/documents/{document_id:path}",
    summary="Delete a document",
    response_model=Receipt,
    responses={
        200: shown(Receipt, "No query that begins from now on sees it.", deleted=RECEIPT),
        **answers(404, 409),
    },
)
async def delete(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: Request,
    held: Held,
    principal: Sender,
    collection: Collection,
    document_id: DocumentPath,
    source_version: Annotated[
        int | None, Query(ge=0, le=2**62, description="Delete no version that is newer than this.")
    ] = None,
) -> Response:
    """Delete a document."""
    principal.enter(collection)
    receipt = await held.run(
        held.client.delete_document, document_id, collection=collection, source_version=source_version
    )
    return answer(request, receipt)


async def page_of(
    held: Gateway, collection: str, *, state: DocumentState | None, after: str | None, limit: int
) -> DocumentPage:
    """Return a page of a collection's documents, and where the next one begins."""
    wanted = None if state is None else state.value
    page = await held.run(held.client.documents_page, collection, state=wanted, after=after, limit=limit)
    return DocumentPage(documents=list(page), next=page[-1].document_id if len(page) == limit else None)


def document_waits(held: Gateway) -> DocumentWaits:
    """Return what waits for documents on behalf of all callers of this process."""
    found: Any = held.more.get("documents")
    if found is None:
        found = held.more["documents"] = DocumentWaits(lambda names: held.run(held.client.document_statuses, names))
    waits: DocumentWaits = found
    return waits


async def _accept(held: Gateway, principal: Principal, lines: Sequence[Line]) -> list[Receipt]:
    """Take in what can be taken in; return a receipt for each line, in order."""
    refused = {line.number: _refusal(line, principal) for line in lines}
    good = [line for line in lines if refused[line.number] is None]
    try:
        taken = await _when_there_is_room(held, [line.payload for line in good]) if good else []
    except OpinionError as problem:
        taken = [_of(line, problem) for line in good]
    found = {line.number: _numbered(line, receipt) for line, receipt in zip(good, taken, strict=True)}
    return [refused[line.number] or found[line.number] for line in lines]


async def _when_there_is_room(held: Gateway, payloads: Sequence[dict[str, Any]]) -> list[Receipt]:
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_SECONDS
    while True:
        try:
            return await held.run(held.client.submit_documents, payloads)
        except Overloaded as problem:
            if held.waiting.stopping or loop.time() + problem.retry_after > until:
                raise
            try:
                await held.until(asyncio.sleep(problem.retry_after))
            except GatewayStopping:
                raise problem from None


def _refusal(line: Line, principal: Principal) -> Receipt | None:
    if line.problem is not None:
        return rejected(line.number, line.problem)
    collection = line.payload.get("collection", DocumentInput.model_fields["collection"].default)
    if isinstance(collection, str) and not principal.sees(collection):
        return _of(line, UnknownCollection(f"there is no collection {collection!r}"))
    return None


def _of(line: Line, problem: OpinionError) -> Receipt:
    given = (line.payload.get(name, "") for name in ("collection", "id"))
    collection, document_id = (one if isinstance(one, str) else "" for one in given)
    return rejected(line.number, problem, collection=collection, document_id=document_id)


def _numbered(line: Line, receipt: Receipt) -> Receipt:
    if receipt.outcome is not AcceptOutcome.REJECTED or receipt.error is None:
        return receipt
    problem = OpinionError.from_info(receipt.error)
    return rejected(line.number, problem, collection=receipt.collection, document_id=receipt.document_id)
