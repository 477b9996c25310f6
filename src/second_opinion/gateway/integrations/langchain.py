"""For LangChain: a retriever, and a way in for what its loaders load, both in `second_opinion.langchain`."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from second_opinion.gateway.integrations.asking import Asker, OnRefusal, OnResult, QuestionClient
from second_opinion.gateway.integrations.choices import Choices
from second_opinion.gateway.integrations.extras import extra
from second_opinion.gateway.integrations.passages import passage_details, shown_passages
from second_opinion.gateway.integrations.sending import DocumentClient, DocumentForm, SentDocument, send_documents
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import Receipt
from second_opinion.schemas.verdict import QueryResult

with extra("langchain"):
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever


class SecondOpinionRetriever(BaseRetriever):
    """Returns the passages that clear the floor, each with its relevance and where it stands.

    A refusal is an empty list, or a `QueryRefused` where `on_refusal` is `raise`; a failure is always an error. Choices
    that are None come from the collection, then from the settings, and any of them can be made anew for one question:
    `retriever.invoke(question, floor=0.6)`.

    Attributes:
        client: A `Client`, which answers `invoke` and `ainvoke`, or an `AsyncClient`, which answers `ainvoke` alone.
        collection: Where to look.
        filters: All of them have to hold.
        floor: Calibrated relevance in [0, 1] below which nothing is returned.
        top_k: The most passages.
        candidates: How many passages the second opinion reads.
        chunks_per_document: The most passages of one document.
        bm25_weight: Weight of the BM25 list in the fusion.
        knn_weight: Weight of the kNN list in the fusion.
        reranker: Which reranker is asked, and which after it.
        on_unavailable: `fail`, `wait` or `fused`; with `fused` passages that nobody judged have a relevance of None.
        timeout: Seconds to wait for an answer.
        deadline_ms: Milliseconds in which the answer is wanted, from what could be read by then.
        on_refusal: `empty` or `raise`.
        on_result: Called with every `QueryResult` before its passages are returned, refusals included.

    Raises:
        InvalidQuery: If a choice is out of range.
    """

    client: QuestionClient = Field(exclude=True, repr=False)
    collection: str = DEFAULT_COLLECTION
    filters: Sequence[Any] = ()
    floor: float | None = None
    top_k: int | None = None
    candidates: int | None = None
    chunks_per_document: int | None = None
    bm25_weight: float | None = None
    knn_weight: float | None = None
    reranker: str | None = None
    on_unavailable: str | None = None
    timeout: float = 60.0
    deadline_ms: int | None = None
    on_refusal: OnRefusal = "empty"
    on_result: OnResult | None = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="after")
    def _choices_can_be_used(self) -> Self:
        self._asker()
        return self

    def ask(self, question: str, **changes: Any) -> QueryResult:
        """Return the whole result of a question: what was kept and dropped, with every number.

        Raises:
            QueryRefused: If it is refused, and `on_refusal` is `raise`.
            OpinionError: Why there is no answer.
        """
        return self._asker().ask(question, **changes)

    async def aask(self, question: str, **changes: Any) -> QueryResult:
        """Return the whole result of a question, as `ask` does."""
        return await self._asker().ask_async(question, **changes)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - its presence is the framework's form
        **changes: Any,
    ) -> list[Document]:
        return _documents(self.ask(query, **changes))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - likewise
        **changes: Any,
    ) -> list[Document]:
        return _documents(await self.aask(query, **changes))

    def _asker(self) -> Asker:
        choices = parse_request(
            Choices, {name: getattr(self, name) for name in Choices.model_fields if name in _FIELDS}
        )
        return Asker(self.client, choices, on_refusal=self.on_refusal, on_result=self.on_result)


_FIELDS = frozenset(SecondOpinionRetriever.model_fields)


def _documents(result: QueryResult) -> list[Document]:
    return [
        Document(id=one.chunk_id, page_content=one.text, metadata=passage_details(result, one))
        for one in shown_passages(result)
    ]


def submit_documents(
    client: DocumentClient, documents: Iterable[Document], form: DocumentForm | None = None
) -> list[Receipt]:
    """Send what a loader has loaded; return a receipt for each document once all are durable.

    Args:
        client: A `Client`.
        documents: Whole documents: the chunks are made here.
        form: Where they go and which fields hold what; by default the id and the URI are the field `source`.

    Raises:
        InvalidDocument: Why one cannot be accepted; without an id, or with that of another, none is sent.
        StoreUnavailable: If they could not be recorded.
    """
    sent = (SentDocument(own_id=one.id, text=one.page_content, fields=one.metadata) for one in documents)
    return send_documents(client, sent, form or DocumentForm(id_field="source"))
