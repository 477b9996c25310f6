"""A retriever for LlamaIndex: `from second_opinion.llama_index import SecondOpinionRetriever`."""

from typing import Any, Final, Unpack

from second_opinion.gateway.integrations.asking import Asker, OnRefusal, OnResult, QuestionClient
from second_opinion.gateway.integrations.choices import ChoiceOptions, Choices
from second_opinion.gateway.integrations.extras import extra
from second_opinion.gateway.integrations.passages import passage_details, relevance_of, shown_passages
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.verdict import FoundPassage, QueryResult

with extra("llama-index"):
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode

SHOWN_TO_MODELS: Final = frozenset({"title", "section", "source"})
"""What a language model reads beside a passage; the numbers are for programs."""


class SecondOpinionRetriever(BaseRetriever):
    """Returns the passages that clear the floor as nodes; a node's score is its calibrated relevance.

    A refusal is an empty list (a query engine then says that it has no answer), or a `QueryRefused` where `on_refusal`
    is `raise`; a failure is always an error.

    Args:
        client: A `Client`, which answers `retrieve` and `aretrieve`, or an `AsyncClient`, for `aretrieve` alone.
        on_refusal: `empty` or `raise`.
        on_result: Called with every `QueryResult` before its passages are returned, refusals included.
        callback_manager: The framework's own.
        choices: Any of collection, filters, floor, top_k, candidates, chunks_per_document, bm25_weight, knn_weight,
            reranker, on_unavailable, timeout (seconds) and deadline_ms. What is left out comes from the collection,
            then from the settings. With `on_unavailable="fused"` passages that nobody judged have a score of None.

    Raises:
        InvalidQuery: If a choice is out of range.
    """

    def __init__(
        self,
        client: QuestionClient,
        *,
        on_refusal: OnRefusal = "empty",
        on_result: OnResult | None = None,
        callback_manager: CallbackManager | None = None,
        **choices: Unpack[ChoiceOptions],
    ) -> None:
        self._asker = Asker(client, parse_request(Choices, choices), on_refusal=on_refusal, on_result=on_result)
        super().__init__(callback_manager=callback_manager)

    def ask(self, question: str, **changes: Any) -> QueryResult:
        """Return the whole result of a question: what was kept and dropped, with every number.

        Raises:
            QueryRefused: If it is refused, and `on_refusal` is `raise`.
            OpinionError: Why there is no answer.
        """
        return self._asker.ask(question, **changes)

    async def aask(self, question: str, **changes: Any) -> QueryResult:
        """Return the whole result of a question, as `ask` does."""
        return await self._asker.ask_async(question, **changes)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(self.ask(query_bundle.query_str))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(await self.aask(query_bundle.query_str))


def _nodes(result: QueryResult) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(result, one), score=relevance_of(one)) for one in shown_passages(result)]


def _node(result: QueryResult, passage: FoundPassage) -> TextNode:
    details = passage_details(result, passage)
    hidden = [name for name in details if name not in SHOWN_TO_MODELS]
    return TextNode(
        id_=passage.chunk_id,
        text=passage.text,
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        metadata=details,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=hidden,
        relationships={kind: RelatedNodeInfo(node_id=name) for kind, name in _neighbours(passage).items() if name},
    )


def _neighbours(passage: FoundPassage) -> dict[NodeRelationship, str | None]:
    return {
        NodeRelationship.SOURCE: passage.document_id,
        NodeRelationship.PREVIOUS: passage.previous_chunk_id,
        NodeRelationship.NEXT: passage.next_chunk_id,
    }
