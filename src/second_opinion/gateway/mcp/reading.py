"""The tools that only read: search, why, and what documents and collections there are."""

from functools import partial
from itertools import islice
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from second_opinion.gateway.calls import result_of
from second_opinion.gateway.cli.rendering.answer import warnings
from second_opinion.gateway.integrations.extras import extra
from second_opinion.gateway.mcp.answering import answered, telling_errors
from second_opinion.gateway.mcp.answers import (
    CollectionAnswer,
    CollectionList,
    DocumentAnswer,
    DocumentList,
    SearchAnswer,
    WhyAnswer,
)
from second_opinion.gateway.mcp.reach import Reach
from second_opinion.gateway.mcp.wording import collections_text, document_text, documents_text, search_text, why_text
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.schemas.errors import OpinionError, UnknownJob
from second_opinion.schemas.job import Job

with extra("mcp"):
    import anyio
    from anyio.to_thread import run_sync
    from mcp.types import CallToolResult

CANCEL_SECONDS: Final = 5.0
WAIT_MARGIN: Final = 1.0
FIELDS_OF_AT_MOST: Final = 50
"""Collections whose fields are listed; the others are listed without."""

FILTERS: Final = (
    "Only documents whose metadata fits all of these. Forms: "
    '{"op": "term", "field": "lang", "values": ["en", "de"]}; '
    '{"op": "range", "field": "year", "gte": 2020} (also gt, lt, lte); '
    '{"op": "exists", "field": "doi", "exists": true}. list_collections names the fields.'
)
Collection = Annotated[str | None, Field(description="Collection to look into; left out, the default one.")]


class ReadingTools:
    """Tools over a client. Each public method is a tool; its docstring is what the model is told of it.

    Args:
        client: Used by several threads at once.
        reach: Which collections exist for the tools.
        timeout: Seconds that a search may take.
    """

    def __init__(self, client: OpinionClient, reach: Reach, *, timeout: float) -> None:
        self._client = client
        self._reach = reach
        self._timeout = timeout

    @telling_errors
    async def search(
        self,
        question: Annotated[str, Field(description="The question, in words, as a person would ask it.")],
        collection: Collection = None,
        floor: Annotated[
            float | None, Field(ge=0.0, le=1.0, description="Relevance below which nothing is shown; usually left out.")
        ] = None,
        top_k: Annotated[int | None, Field(ge=1, le=100, description="The most passages; usually left out.")] = None,
        filters: Annotated[list[dict[str, Any]] | None, Field(description=FILTERS)] = None,
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Search the documents for passages that answer a question, each with its relevance and where it stands.

        A passage is shown only if its calibrated relevance clears the floor. When none does, the answer is a refusal
        with the best relevance: the documents do not hold it. Cite passages by their source and characters.
        """
        ask = partial(self._client.submit_query, question, collection=self._reach.allowed(collection))
        submit = partial(ask, filters=filters or (), timeout=self._timeout, floor=floor, top_k=top_k)
        result = result_of(await self._ended(await run_sync(submit)))
        answer = SearchAnswer.of(result, [note for note in warnings(result) if note != result.sentence])
        return answered(search_text(answer), answer)

    @telling_errors
    async def why(
        self,
        trace_id: Annotated[str, Field(description="The trace of a search.")],
        document_id: Annotated[str, Field(description="The document to explain.")],
    ) -> Annotated[CallToolResult, WhyAnswer]:
        """Say why a document is or is not in the answer to a search: the stage it did not pass, with the numbers."""
        job = await run_sync(self._client.result, trace_id)
        if not self._reach.has(job.query.collection):
            raise UnknownJob(f"there is no job {trace_id!r}, or its result has expired")
        answer = WhyAnswer.of(await run_sync(self._client.why, trace_id, document_id))
        return answered(why_text(answer), answer)

    @telling_errors
    async def document_status(
        self, document_id: Annotated[str, Field(description="The document's id.")], collection: Collection = None
    ) -> Annotated[CallToolResult, DocumentAnswer]:
        """Say what is known of a document: whether searches see it, in how many passages, and why it failed."""
        within = self._reach.allowed(collection)
        status = await run_sync(partial(self._client.document_status, document_id, collection=within))
        answer = DocumentAnswer.of(status)
        return answered(document_text(answer), answer)

    @telling_errors
    async def list_documents(
        self,
        collection: Collection = None,
        state: Annotated[
            Literal["received", "indexed", "failed"] | None, Field(description="Only documents in this state.")
        ] = None,
        after: Annotated[str | None, Field(description="Documents behind this id; what `next` was before.")] = None,
        limit: Annotated[int, Field(ge=1, le=200, description="The most documents.")] = 50,
    ) -> Annotated[CallToolResult, DocumentList]:
        """List the documents of a collection by id, with their state; what was just sent may be a second behind."""
        within = self._reach.allowed(collection)
        # One more than is shown tells whether there are more.
        found = await run_sync(
            lambda: list(islice(self._client.documents(collection=within, state=state, after=after), limit + 1))
        )
        shown = [DocumentAnswer.of(one) for one in found[:limit]]
        following = shown[-1].document_id if len(found) > limit else None
        answer = DocumentList(collection=within, documents=shown, next=following)
        return answered(documents_text(answer), answer)

    @telling_errors
    async def list_collections(self) -> Annotated[CallToolResult, CollectionList]:
        """List the collections that can be searched, with the metadata fields that filters may name."""
        answer = CollectionList(collections=await run_sync(self._collections))
        return answered(collections_text(answer), answer)

    def _collections(self) -> list[CollectionAnswer]:
        records = [one for one in self._client.collections() if self._reach.has(one.name)]
        return [
            CollectionAnswer.of(one, self._client.field_types(one.name) if place < FIELDS_OF_AT_MOST else {})
            for place, one in enumerate(records)
        ]

    async def _ended(self, job: Job) -> Job:
        """Wait for a job; cancel it when the assistant does not want it any more."""
        wait = partial(self._client.wait, job.job_id, timeout=self._timeout + WAIT_MARGIN)
        try:
            return await run_sync(wait, abandon_on_cancel=True)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(CANCEL_SECONDS, shield=True):
                await run_sync(self._give_up, job.job_id, abandon_on_cancel=True)
            raise

    def _give_up(self, job_id: str) -> Any:
        try:
            return self._client.cancel(job_id)
        except OpinionError:
            return None  # it expires by itself
