"""The tools that change documents: only there when the operator allows it."""

from functools import partial
from typing import Annotated, Any

from pydantic import Field

from second_opinion.gateway.integrations.extras import extra
from second_opinion.gateway.mcp.answering import answered, telling_errors
from second_opinion.gateway.mcp.answers import ReceiptAnswer
from second_opinion.gateway.mcp.reach import Reach
from second_opinion.gateway.mcp.reading import Collection
from second_opinion.gateway.mcp.wording import receipt_text
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.schemas.document import AcceptOutcome, DocumentStatus, Receipt
from second_opinion.schemas.errors import DeadlineExceeded

with extra("mcp"):
    from anyio.to_thread import run_sync
    from mcp.types import CallToolResult


class WritingTools:
    """Tools over a client, as `ReadingTools` are."""

    def __init__(self, client: OpinionClient, reach: Reach) -> None:
        self._client = client
        self._reach = reach

    @telling_errors
    async def submit_document(  # noqa: PLR0913 - one argument a field
        self,
        *,
        document_id: Annotated[str, Field(description="Your id for it; a document of the same id is replaced.")],
        text: Annotated[str, Field(description="The whole text, plain or Markdown.")],
        collection: Collection = None,
        title: Annotated[str, Field(description="Its title; the models read it with every passage.")] = "",
        uri: Annotated[str, Field(description="Where it comes from, for citations.")] = "",
        metadata: Annotated[
            dict[str, Any] | None,
            Field(description="Fields to filter on: strings, numbers, booleans, or lists of them."),
        ] = None,
        wait_seconds: Annotated[
            float, Field(ge=0.0, le=60.0, description="How long to wait until searches see it; 0 does not wait.")
        ] = 20.0,
    ) -> Annotated[CallToolResult, ReceiptAnswer]:
        """Add a document, or replace the one of the same id. Once this returns it is kept; searches see it soon."""
        within = self._reach.allowed(collection)
        fields = {"title": title, "uri": uri, "metadata": metadata or {}, "media_type": "text/markdown"}
        document = {"id": document_id, "collection": within, "text": text, **fields}
        receipt = await run_sync(self._client.submit_document, document)
        status = await self._searchable(receipt, wait_seconds) if wait_seconds else None
        answer = ReceiptAnswer.of(receipt, status)
        return answered(receipt_text(answer), answer)

    @telling_errors
    async def delete_document(
        self, document_id: Annotated[str, Field(description="The document's id.")], collection: Collection = None
    ) -> Annotated[CallToolResult, ReceiptAnswer]:
        """Delete a document: no search that begins after this sees it. It cannot be taken back."""
        within = self._reach.allowed(collection)
        receipt = await run_sync(partial(self._client.delete_document, document_id, collection=within))
        answer = ReceiptAnswer.of(receipt)
        return answered(receipt_text(answer), answer)

    async def _searchable(self, receipt: Receipt, seconds: float) -> DocumentStatus | None:
        """Wait for a document; return its status when the time is over too.

        Raises:
            OpinionError: Why the document failed, if it did.
        """
        if receipt.outcome is AcceptOutcome.SUPERSEDED:
            return None
        name, within = receipt.document_id, receipt.collection
        wait = partial(self._client.wait_document, name, collection=within, timeout=seconds)
        try:
            return await run_sync(wait, abandon_on_cancel=True)
        except DeadlineExceeded:
            return await run_sync(partial(self._client.document_status, name, collection=within))
