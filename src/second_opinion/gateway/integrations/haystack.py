"""For Haystack: a retriever and a writer, components both, in `second_opinion.haystack`."""

from dataclasses import asdict
from typing import Any, Final, Self, Unpack

from second_opinion.gateway.integrations.asking import Asker, OnRefusal, QuestionClient
from second_opinion.gateway.integrations.choices import ChoiceOptions, Choices
from second_opinion.gateway.integrations.extras import extra
from second_opinion.gateway.integrations.haystack_filters import as_filters
from second_opinion.gateway.integrations.opening import OpenedClient
from second_opinion.gateway.integrations.passages import passage_details, relevance_of, shown_passages
from second_opinion.gateway.integrations.sending import DocumentClient, DocumentForm, SentDocument, send_documents
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.verdict import Outcome, QueryResult

with extra("haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.utils import Secret


KEY_VARIABLE: Final = "OPINION_GATEWAY_KEY"


class _Gateway:
    """The gateway of a component that opens its own client, if it has one."""

    def __init__(self, url: str | None, key: Secret | None) -> None:
        self._url = url
        self._key = key or Secret.from_env_var(KEY_VARIABLE, strict=False)

    def client(self, given: Any) -> OpenedClient:
        """Return the client of the component."""
        return OpenedClient(given, gateway_url=self._url, key=self._key.resolve_value)

    def data(self) -> dict[str, Any]:
        """Return what is written down: of the key, only the name of its variable."""
        return {} if self._url is None else {"gateway_url": self._url, "key": self._key.to_dict()}


def _with_key(data: dict[str, Any]) -> dict[str, Any]:
    """Return a component's data with its key as Haystack has it."""
    given = data.get("init_parameters", {})
    key = {"key": Secret.from_dict(given["key"])} if given.get("key") else {}
    return {**data, "init_parameters": {**given, **key}}


@component
class SecondOpinionRetriever:
    """Returns the passages that clear the floor as documents; a document's score is its calibrated relevance.

    Beside `documents` there are `outcome` (answered, refused or unjudged), `refusal` (the reason in words, empty unless
    it was refused) and `trace_id`, so that a pipeline can branch on a refusal. A failure is always an error.

    Args:
        client: A `Client`, or an `AsyncClient` for `run_async` alone. Left out, the component opens its own when it is
            first run, closes it with the pipeline, and can be written down.
        gateway_url: Gateway of a client of its own; left out, the settings of the process say where it goes.
        key: API key for that gateway; left out, what the environment variable `OPINION_GATEWAY_KEY` holds.
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
        self,
        client: QuestionClient | None = None,
        *,
        gateway_url: str | None = None,
        key: Secret | None = None,
        on_refusal: OnRefusal = "empty",
        **choices: Unpack[ChoiceOptions],
    ) -> None:
        given = {**choices, "filters": as_filters(choices.get("filters"))}
        self._choices = parse_request(Choices, given)
        self._on_refusal = on_refusal
        self._gateway = _Gateway(gateway_url, key)
        self._client = self._gateway.client(client)

    def warm_up(self) -> None:
        """Open a client if none was given."""
        self._client.get()

    def close(self) -> None:
        """Close the client that this component opened; one that was given stays open."""
        self._client.close()

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
        self._client.require_own()
        choices = self._choices.options()
        choices["filters"] = [
            one.model_dump(exclude={"schema_version"}, exclude_none=True) for one in choices["filters"]
        ]
        return default_to_dict(self, **self._gateway.data(), on_refusal=self._on_refusal, **choices)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the component that `data` describes."""
        return default_from_dict(cls, _with_key(data))

    def _asker(self) -> Asker:
        return Asker(self._client.get(), self._choices, on_refusal=self._on_refusal)


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


@component
class SecondOpinionWriter:
    """Sends documents into a collection, whole ones: the chunks are made there, so no splitter goes before it.

    When it returns, all of them are durable; they are searchable a little later. What was sent before and has not
    changed is recognised, so a pipeline can be run again.

    Args:
        client: A `Client`. Left out, the component opens its own, as the retriever does.
        gateway_url: As the retriever has it; the key needs the scope `ingest`.
        key: Likewise.
        collection: Where the documents go.
        id_field: Field of `meta` that holds the id, such as `file_path`; by default the document's own id, which
            Haystack makes from the content, so that a document that has changed is another one.
        title_field: Field of `meta` that holds the title, if there is one.
        uri_field: Field of `meta` that says where a document comes from, if there is one.
        metadata_fields: Fields of `meta` to keep for filters; all the others when left out.
        media_type: What the texts are: `text/plain` or `text/markdown`.
    """

    __module__ = "second_opinion.haystack"

    def __init__(  # noqa: PLR0913 - one argument a field
        self,
        client: DocumentClient | None = None,
        *,
        gateway_url: str | None = None,
        key: Secret | None = None,
        collection: str = DEFAULT_COLLECTION,
        id_field: str | None = None,
        title_field: str = "title",
        uri_field: str = "file_path",
        metadata_fields: list[str] | None = None,
        media_type: str = "text/plain",
    ) -> None:
        self._form = DocumentForm(collection, id_field, title_field, uri_field, metadata_fields, media_type)
        self._gateway = _Gateway(gateway_url, key)
        self._client = self._gateway.client(client)

    def warm_up(self) -> None:
        """Open a client if none was given."""
        self._client.get()

    def close(self) -> None:
        """Close the client that this component opened; one that was given stays open."""
        self._client.close()

    @component.output_types(documents_written=int)
    def run(self, documents: list[Document]) -> dict[str, int]:
        """Send documents.

        Raises:
            InvalidDocument: Why one cannot be accepted; without an id, or with that of another, none is sent.
            StoreUnavailable: If they could not be recorded.
        """
        sent = (SentDocument(own_id=one.id, text=one.content, fields=one.meta) for one in documents)
        return {"documents_written": len(send_documents(self._client.get(), sent, self._form))}

    def to_dict(self) -> dict[str, Any]:
        """Return the component as data.

        Raises:
            InvalidRequest: If it was given a client, which cannot be written down.
        """
        self._client.require_own()
        return default_to_dict(self, **self._gateway.data(), **asdict(self._form))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the component that `data` describes."""
        return default_from_dict(cls, _with_key(data))
