"""The Python client for asyncio: the same calls, awaited. Waiting for a job takes no thread."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from second_opinion.gateway.calls import MARGIN_SECONDS
from second_opinion.gateway.client import Client, DocumentLike, result_of
from second_opinion.gateway.parts import Parts
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.gateway.watching import Settled
from second_opinion.pipeline.time_budget import within
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import DEFAULT_COLLECTION, CollectionRecord, ReindexAction, ReindexStatus
from second_opinion.schemas.document import DocumentStatus, Receipt
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.explanation import Explanation
from second_opinion.schemas.job import Job
from second_opinion.schemas.query import Filter
from second_opinion.schemas.verdict import QueryResult
from second_opinion.workers.settings import Settings

if TYPE_CHECKING:
    from second_opinion.gateway.remote.async_client import AsyncRemoteClient

CALLS_AT_ONCE: Final = 32

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient:
    """Everything a caller does, for asyncio. What each call does and raises, `Client` says.

    Args:
        settings: Where the servers are; by default the environment, then the local stack.
        parts: The connections to use, when a test or a program has made them itself.
    """

    def __init__(self, settings: Settings | None = None, *, parts: Parts | None = None) -> None:
        direct = Client(settings, parts=parts)
        self._jobs = direct.parts.jobs
        self._begin(direct)

    def _begin(self, client: OpinionClient) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="opinion-client")

    @staticmethod
    def connect(url: str, *, key: str | None = None) -> "AsyncRemoteClient":
        """Return a client with the same calls that speaks to a gateway over HTTP; nothing is sent yet.

        Args:
            url: Where the gateway listens, such as `http://127.0.0.1:8100`.
            key: An API key; a gateway on loopback may do without.

        Raises:
            InvalidRequest: If the URL is none.
            ExtraMissing: If httpx is not installed.
        """
        from second_opinion.gateway.remote.async_client import AsyncRemoteClient  # noqa: PLC0415 - httpx is an extra

        return AsyncRemoteClient(url, key=key)

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._run(self._client.close)
        self._threads.shutdown(wait=False)

    async def submit_document(self, document: DocumentLike | None = None, **fields: Any) -> Receipt:
        """Send one document; return once it is durable."""
        return await self._run(self._client.submit_document, document, **fields)

    async def submit_documents(self, documents: Iterable[DocumentLike]) -> list[Receipt]:
        """Send documents and return a receipt for each, in order."""
        return await self._run(self._client.submit_documents, documents)

    @asynccontextmanager
    async def bulk_load(self, collection: str = DEFAULT_COLLECTION) -> AsyncIterator[None]:
        """Fill a collection for the first time in this context: without replicas and periodic refreshes."""
        load = self._client.bulk_load(collection)
        await self._run(load.__enter__)
        try:
            yield
        finally:
            await self._run(load.__exit__, None, None, None)

    async def delete_document(
        self, document_id: str, *, collection: str = DEFAULT_COLLECTION, source_version: int | None = None
    ) -> Receipt:
        """Delete a document: no query that begins after this sees it."""
        return await self._run(
            self._client.delete_document, document_id, collection=collection, source_version=source_version
        )

    async def document_status(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> DocumentStatus:
        """Return what is known of a document."""
        return await self._run(self._client.document_status, document_id, collection=collection)

    async def documents(
        self, *, collection: str = DEFAULT_COLLECTION, state: str | None = None, after: str | None = None
    ) -> list[DocumentStatus]:
        """Return the documents of a collection by id."""
        return await self._run(lambda: list(self._client.documents(collection=collection, state=state, after=after)))

    async def document_chunks(self, document_id: str, *, collection: str = DEFAULT_COLLECTION) -> list[ChunkHit]:
        """Return the chunks of a document that readers see, in order."""
        return await self._run(self._client.document_chunks, document_id, collection=collection)

    async def wait_document(
        self,
        document_id: str,
        *,
        collection: str = DEFAULT_COLLECTION,
        timeout: float = 60.0,  # noqa: ASYNC109
    ) -> DocumentStatus:
        """Wait until the newest version of a document is searchable."""
        return await self._run(self._client.wait_document, document_id, collection=collection, timeout=timeout)

    async def wait_documents(
        self,
        receipts: Iterable[Receipt],
        *,
        timeout: float = 60.0,  # noqa: ASYNC109
    ) -> list[Settled]:
        """Wait until documents that were sent are searchable or have failed."""
        return await self._run(self._client.wait_documents, receipts, timeout=timeout)

    async def submit_query(
        self,
        text: str,
        *,
        collection: str = DEFAULT_COLLECTION,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        timeout: float = 60.0,  # noqa: ASYNC109 - the job's, not this call's
        job_id: str | None = None,
        **choices: Any,
    ) -> Job:
        """Submit a query and return its job at once."""
        submit = partial(self._client.submit_query, text, collection=collection, filters=filters, timeout=timeout)
        return await self._run(submit, job_id=job_id, **choices)

    async def result(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return await self._run(self._client.result, job_id)

    async def wait(self, job_id: str, *, timeout: float = 60.0) -> Job:  # noqa: ASYNC109 - the job outlives it
        """Wait for a job to end; return it as it is when `timeout` seconds are over, ended or not."""
        return await self._jobs.wait_async(job_id, timeout)

    async def query(self, text: str, *, timeout: float = 60.0, **options: Any) -> QueryResult:  # noqa: ASYNC109
        """Submit a query, wait for it, and return the answer or the refusal.

        When the task that waits is cancelled, so is the job, unless it has an id of the caller's own: others may wait.
        """
        until = time.monotonic() + timeout
        job = await self._run(self._submit_within, text, timeout, options)
        try:
            ended = await self.wait(job.job_id, timeout=max(0.0, until - time.monotonic()) + MARGIN_SECONDS)
        except asyncio.CancelledError:
            if options.get("job_id") is None:
                # In a thread that nobody waits for: whoever cancels is not to be kept by a slow server.
                self._threads.submit(self._give_up, job.job_id)
            raise
        return result_of(ended)

    def _submit_within(self, text: str, timeout: float, options: Mapping[str, Any]) -> Job:
        with within(timeout):
            return self._client.submit_query(text, timeout=timeout, **options)

    def _give_up(self, job_id: str) -> None:
        with suppress(OpinionError):
            self._client.cancel(job_id)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job, and return it as it then is: one that had ended stays as it was."""
        return await self._run(self._client.cancel, job_id)

    async def why(self, job_id: str, document_id: str) -> Explanation:
        """Say what became of a document in the answer to a query."""
        return await self._run(self._client.why, job_id, document_id)

    async def retry_documents(
        self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION
    ) -> list[Receipt]:
        """Begin anew on documents that have failed, with what was sent before."""
        return await self._run(self._client.retry_documents, document_ids, collection=collection)

    async def purge_documents(
        self, document_ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION
    ) -> list[Receipt]:
        """Give up the failed versions of documents: an older version that is searchable stays, otherwise they go."""
        return await self._run(self._client.purge_documents, document_ids, collection=collection)

    async def collections(self) -> list[CollectionRecord]:
        """Return all collections by name."""
        return await self._run(self._client.collections)

    async def collection(self, name: str) -> CollectionRecord:
        """Return a collection."""
        return await self._run(self._client.collection, name)

    async def set_collection(self, name: str, **choices: Any) -> CollectionRecord:
        """Set a collection's own choices for queries, in place of those it had."""
        return await self._run(self._client.set_collection, name, **choices)

    async def delete_collection(self, name: str) -> None:
        """Delete a collection with all its documents."""
        await self._run(self._client.delete_collection, name)

    async def reindex(
        self, name: str, action: ReindexAction = "begin", *, hold: bool = False, leave_behind: bool = False
    ) -> ReindexStatus:
        """Move a collection to an index that is made by the settings as they are now; return how that stands."""
        return await self._run(self._client.reindex, name, action, hold=hold, leave_behind=leave_behind)

    async def reindex_status(self, name: str) -> ReindexStatus:
        """Return how the reindex of a collection stands."""
        return await self._run(self._client.reindex_status, name)

    async def field_types(self, collection: str = DEFAULT_COLLECTION) -> dict[str, str]:
        """Return the metadata fields that can be filtered on, and their types."""
        return await self._run(self._client.field_types, collection)

    async def _run(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Run a call that talks to a server in a thread of this client."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **options))
