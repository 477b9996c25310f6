"""A retriever for Haystack: `from second_opinion.haystack import SecondOpinionRetriever`."""

from typing import Any, Self, Unpack

from second_opinion.gateway.client import Client
from second_opinion.gateway.integrations.asking import Asker, OnRefusal, QuestionClient
from second_opinion.gateway.integrations.choices import ChoiceOptions, Choices
from second_opinion.gateway.integrations.extras import extra
from second_opinion.gateway.integrations.haystack_filters import as_filters
from second_opinion.gateway.integrations.passages import passage_details, relevance_of, shown_passages
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.schemas.verdict import Outcome, QueryResult

with extra("haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict


@component
class SecondOpinionRetriever:
    """Returns the passages that clear the floor as documents; a document's score is its calibrated relevance.

    Beside `documents` there are `outcome` (answered, refused or unjudged), `refusal` (the reason in words, empty unless
    it was refused) and `trace_id`, so that a pipeline can branch on a refusal. A failure is always an error.

    Args:
        client: A `Client`, or an `AsyncClient` for `run_async` alone. Left out, the component opens a `Client` by the
            settings of its process when it is first run, closes it with the pipeline, and can be written down.
        on_refusal: `empty`, or `raise` for a `QueryRefused`.
        choices: Any of collection, filters, floor, top_k, candidates, chunks_per_document, bm25_weight, knn_weight,
            reranker, on_unavailable, timeout (seconds) and deadline_ms. What is left out comes from the collection,
            then from the settings. With `on_unavailable="fused"` passages that nobody judged have a score of None.

    Raises:
        InvalidQuery: If a choice is out of range.
    """

    # The name that saved pipelines have for it; where it is written down may move.
    __module__ = "second_opinion.haystack"

    def __init__(
        self, client: QuestionClient | None = None, *, on_refusal: OnRefusal = "empty", **choices: Unpack[ChoiceOptions]
    ) -> None:
        given = {**choices, "filters": as_filters(choices.get("filters"))}
        self._choices = parse_request(Choices, given)
        self._on_refusal = on_refusal
        self._client = client
        self._own: Client | None = None

    def warm_up(self) -> None:
        """Open a client if none was given."""
        if self._client is None and self._own is None:
            self._own = Client()

    def close(self) -> None:
        """Close the client that this component opened; one that was given stays open."""
        if self._own is not None:
            self._own.close()
            self._own = None

    @component.output_types(documents=list[Document], outcome=str, refusal=str, trace_id=str)
    def run(
        self,
        query: str,
        filters: list[Any] | dict[str, Any] | None = None,
        floor: float | None = None,
        top_k: int | None = None,
    ) -> dict[str, Any]:
        """Ask a question.

        Args:
            query: The question.
            filters: In place of the component's own, for this question.
            floor: Likewise.
            top_k: Likewise.

        Raises:
            QueryRefused: If it is refused, and `on_refusal` is `raise`.
            OpinionError: Why there is no answer.
        """
        return _outputs(self._asker().ask(query, **_changes(filters, floor, top_k)))

    @component.output_types(documents=list[Document], outcome=str, refusal=str, trace_id=str)
    async def run_async(
        self,
        query: str,
        filters: list[Any] | dict[str, Any] | None = None,
        floor: float | None = None,
        top_k: int | None = None,
    ) -> dict[str, Any]:
        """Ask a question without blocking the event loop, as `run` does."""
        return _outputs(await self._asker().ask_async(query, **_changes(filters, floor, top_k)))

    def to_dict(self) -> dict[str, Any]:
        """Return the component as data.

        Raises:
            InvalidRequest: If it was given a client, which cannot be written down.
        """
        if self._client is not None:
            raise InvalidRequest(
                "a retriever that was given a client cannot be written down",
                hint="Leave the client out: the component then opens its own by the settings of its process.",
            )
        choices = self._choices.options()
        choices["filters"] = [
            one.model_dump(exclude={"schema_version"}, exclude_none=True) for one in choices["filters"]
        ]
        return default_to_dict(self, on_refusal=self._on_refusal, **choices)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the component that `data` describes."""
        return default_from_dict(cls, data)

    def _asker(self) -> Asker:
        self.warm_up()
        client = self._client or self._own
        if client is None:
            raise InvalidRequest("this retriever was closed while it was asked")
        return Asker(client, self._choices, on_refusal=self._on_refusal)


def _changes(filters: list[Any] | dict[str, Any] | None, floor: float | None, top_k: int | None) -> dict[str, Any]:
    given = {"filters": None if filters is None else as_filters(filters), "floor": floor, "top_k": top_k}
    return {name: value for name, value in given.items() if value is not None}


def _outputs(result: QueryResult) -> dict[str, Any]:
    documents = [
        Document(id=one.chunk_id, content=one.text, score=relevance_of(one), meta=passage_details(result, one))
        for one in shown_passages(result)
    ]
    refusal = result.sentence if result.outcome is Outcome.REFUSED else ""
    return {"documents": documents, "outcome": result.outcome.value, "refusal": refusal, "trace_id": result.job_id}
