"""The retrievers for LangChain, LlamaIndex and Haystack, on a whole system in memory."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from haystack import Document as HaystackDocument
from haystack.utils import Secret
from langchain_core.documents import Document as LangChainDocument
from langchain_core.language_models import ParrotFakeChatModel
from llama_index.core.llms import MockLLM
from llama_index.core.schema import MetadataMode, NodeRelationship

import second_opinion
from second_opinion import haystack, langchain, llama_index
from second_opinion.gateway.async_client import AsyncClient
from second_opinion.gateway.client import Client
from second_opinion.gateway.integrations.haystack_filters import as_filters
from second_opinion.gateway.integrations.passages import passage_details
from second_opinion.gateway.remote import RemoteClient
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    InvalidQuery,
    InvalidRequest,
    QueryRefused,
    RerankUnavailable,
    UnknownCollection,
)
from second_opinion.schemas.job import Job
from second_opinion.schemas.verdict import Outcome, QueryResult, UnscoredPassage
from second_opinion.testing.builders import a_fused
from second_opinion.workers.settings import load_settings
from tests.unit.gateway.conftest import MemorySystem

QUESTION = "who approves refunds above one hundred euros"
NOTHING = "lighthouse keepers of the northern coast"
Retrieve = Callable[..., list[tuple[str, float | None, dict[str, Any]]]]


def by_langchain(client: Any, question: str, **fields: Any) -> list[tuple[str, float | None, dict[str, Any]]]:
    found = langchain.SecondOpinionRetriever(client=client, **fields).invoke(question)
    assert all(isinstance(one, LangChainDocument) for one in found)
    return [(one.page_content, one.metadata["relevance"], one.metadata) for one in found]


def by_llama_index(client: Any, question: str, **fields: Any) -> list[tuple[str, float | None, dict[str, Any]]]:
    found = llama_index.SecondOpinionRetriever(client, **fields).retrieve(question)
    return [(one.text, one.score, one.metadata) for one in found]


def by_haystack(client: Any, question: str, **fields: Any) -> list[tuple[str, float | None, dict[str, Any]]]:
    found = haystack.SecondOpinionRetriever(client, **fields).run(question)["documents"]
    assert all(isinstance(one, HaystackDocument) for one in found)
    return [(one.content or "", one.score, one.meta) for one in found]


everywhere = pytest.mark.parametrize("retrieve", [by_langchain, by_llama_index, by_haystack])


@everywhere
def test_a_passage_comes_with_everything_that_is_known_of_it(handbook: MemorySystem, retrieve: Retrieve) -> None:
    """Text, relevance, where it stands, who judged, and the document's own metadata apart from ours."""
    ((text, relevance, details), *_) = retrieve(handbook.client, QUESTION, floor=0.5)
    result = handbook.client.result(details["trace_id"]).result
    assert result is not None
    kept = result.kept[0]
    assert (text, relevance) == (kept.text, kept.relevance)
    assert relevance is not None
    assert relevance >= 0.5
    assert details == passage_details(result, kept)
    assert (details["document_id"], details["source"], details["title"]) == ("refunds.md", "refunds.md", "Refunds")
    assert details["end"] - details["start"] == len(text)
    assert details["metadata"] == {"year": 2024, "lang": "en"}
    assert details["calibration"] == result.calibration.value
    assert details["floor"] == 0.5


@everywhere
def test_a_refusal_is_an_empty_list_and_its_result_is_heard(handbook: MemorySystem, retrieve: Retrieve) -> None:
    """The default: nothing is retrieved, and whoever listens hears why."""
    heard: list[QueryResult] = []
    listening = {} if retrieve is by_haystack else {"on_result": heard.append}
    assert retrieve(handbook.client, NOTHING, **listening) == []
    if retrieve is not by_haystack:
        assert [one.outcome for one in heard] == [Outcome.REFUSED]


@everywhere
def test_a_refusal_can_be_raised(handbook: MemorySystem, retrieve: Retrieve) -> None:
    """`on_refusal="raise"`: the error has the sentence, and the job with every number."""
    with pytest.raises(QueryRefused) as caught:
        retrieve(handbook.client, NOTHING, on_refusal="raise")
    result = handbook.client.result(caught.value.job_id).result
    assert result is not None
    assert caught.value.message == result.sentence


@everywhere
def test_a_failure_is_never_an_empty_list(handbook: MemorySystem, retrieve: Retrieve) -> None:
    """Workers that do not answer, and a collection that is not there, are errors of their kind."""
    with pytest.raises(UnknownCollection):
        retrieve(handbook.client, QUESTION, collection="nowhere")
    handbook.queue.stopped = True
    with pytest.raises(DeadlineExceeded):
        retrieve(handbook.client, QUESTION, timeout=0.05)


@everywhere
def test_every_choice_reaches_the_query(handbook: MemorySystem, retrieve: Retrieve) -> None:
    """What a retriever is made with is what the job has."""
    chosen = {
        "floor": 0.0,
        "top_k": 1,
        "candidates": 7,
        "chunks_per_document": 2,
        "bm25_weight": 2.0,
        "knn_weight": 0.5,
        "on_unavailable": "wait",
    }
    filters = [{"op": "term", "field": "lang", "values": ["en"]}]
    ((_, _, details),) = retrieve(handbook.client, QUESTION, **chosen, filters=filters)
    query = handbook.client.result(details["trace_id"]).query
    assert query.choices.model_dump() == {**query.choices.model_dump(), **chosen}
    assert [one.model_dump(include={"op", "field", "values"}) for one in query.filters] == filters


@pytest.mark.parametrize("package", [langchain, llama_index, haystack])
def test_wrong_choices_are_refused_when_the_retriever_is_made(system: MemorySystem, package: ModuleType) -> None:
    """A floor above 1 is a mistake of whoever made the retriever, not of the first question."""
    with pytest.raises(InvalidQuery, match="floor"):
        package.SecondOpinionRetriever(client=system.client, floor=1.5)


class OfUnjudged(Client):
    """A client whose answer nobody has judged."""

    def query(self, text: str, *, timeout: float = 60.0, **options: Any) -> QueryResult:
        """Return the order of retrieval."""
        result = super().query(text, timeout=timeout, **options)
        unread = tuple(UnscoredPassage.of(a_fused(rank), with_text=rank < 3) for rank in (1, 2, 3))
        changes = {"outcome": Outcome.UNJUDGED, "kept": (), "dropped": (), "unscored": unread, "sentence": "Not read."}
        return result.model_copy(update=changes)


@everywhere
def test_what_nobody_judged_is_only_for_who_asked_for_it(handbook: MemorySystem, retrieve: Retrieve) -> None:
    """A collection that falls back to retrieval's order is an error for a retriever that did not choose that."""
    client = OfUnjudged(parts=handbook.parts)
    with pytest.raises(RerankUnavailable, match="Not read") as caught:
        retrieve(client, QUESTION)
    assert "on_unavailable" in caught.value.hint
    found = retrieve(client, QUESTION, on_unavailable="fused")
    assert [relevance for _, relevance, _ in found] == [None, None]


async def test_both_clients_answer_asynchronously(handbook: MemorySystem) -> None:
    """A `Client` waits in a thread, an `AsyncClient` needs none; a thread cannot ask an `AsyncClient`."""
    asynchronous = AsyncClient(parts=handbook.parts)
    for client in (handbook.client, asynchronous):
        (document,) = await langchain.SecondOpinionRetriever(client=client, floor=0.5).ainvoke(QUESTION)
        (node,) = await llama_index.SecondOpinionRetriever(client, floor=0.5).aretrieve(QUESTION)
        made = await haystack.SecondOpinionRetriever(client, floor=0.5).run_async(QUESTION)
        assert document.page_content == node.text == made["documents"][0].content
    for retrieve in (by_langchain, by_llama_index, by_haystack):
        with pytest.raises(InvalidRequest, match="AsyncClient"):
            retrieve(asynchronous, QUESTION)
    await asynchronous.close()


def test_langchain_takes_choices_for_one_question(handbook: MemorySystem) -> None:
    """`invoke(question, floor=...)` and `bind` change one question; what does not exist is an error."""
    retriever = langchain.SecondOpinionRetriever(client=handbook.client)
    assert retriever.invoke(QUESTION, floor=1.0) == []
    assert len(retriever.bind(floor=0.0, top_k=2).invoke(QUESTION)) == 2
    assert retriever.ask(QUESTION, top_k=1).outcome is Outcome.ANSWERED
    with pytest.raises(InvalidQuery, match="flour"):
        retriever.invoke(QUESTION, flour=1.0)


def test_llama_index_shows_models_only_what_helps_them(handbook: MemorySystem) -> None:
    """A model reads title and source beside the passage, not our numbers; neighbours are relationships."""
    (found,) = llama_index.SecondOpinionRetriever(handbook.client, floor=0.5).retrieve(QUESTION)
    shown = found.node.get_content(MetadataMode.LLM)
    assert "Refunds" in shown
    assert "relevance" not in shown
    assert found.node.relationships[NodeRelationship.SOURCE].node_id == "refunds.md"  # type: ignore[union-attr]
    assert found.node.relationships[NodeRelationship.NEXT].node_id == found.metadata["next_chunk_id"]  # type: ignore[union-attr]
    assert NodeRelationship.PREVIOUS not in found.node.relationships


def test_haystack_says_what_kind_of_answer_it_is(handbook: MemorySystem) -> None:
    """Beside documents there are the outcome, the refusal in words and the trace; inputs change one question."""
    retriever = haystack.SecondOpinionRetriever(handbook.client)
    refused = retriever.run(NOTHING)
    job: Job = handbook.client.result(refused["trace_id"])
    assert job.result is not None
    assert refused == {
        "documents": [],
        "outcome": "refused",
        "refusal": job.result.sentence,
        "trace_id": job.job_id,
    }
    assert len(retriever.run(QUESTION, floor=0.0, top_k=2)["documents"]) == 2
    newer = {"field": "meta.year", "operator": "<", "value": 2020}
    (dogs,) = retriever.run(QUESTION, floor=0.0, filters=newer)["documents"]
    assert dogs.meta["document_id"] == "dogs.md"


def test_haystack_does_not_write_down_a_client(system: MemorySystem) -> None:
    """A pipeline that would come back with another client is not written."""
    with pytest.raises(InvalidRequest, match="client"):
        haystack.SecondOpinionRetriever(system.client).to_dict()
    with pytest.raises(InvalidRequest, match="client"):
        haystack.SecondOpinionWriter(system.client).to_dict()


def test_haystack_writes_down_a_gateway_without_its_key(system: MemorySystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a key only the variable's name is written, and a token is not; a client and a gateway exclude each other."""
    monkeypatch.setenv("OPINION_GATEWAY_KEY", "so_1_hidden")
    url = "http://127.0.0.1:8100"
    for component in (haystack.SecondOpinionRetriever, haystack.SecondOpinionWriter):
        written = component(gateway_url=url).to_dict()
        assert written["init_parameters"]["gateway_url"] == url
        assert written["init_parameters"]["key"]["env_vars"] == ["OPINION_GATEWAY_KEY"]
        assert "hidden" not in str(written)
        assert component.from_dict(written).to_dict() == written
        with pytest.raises(ValueError, match="token"):
            component(gateway_url=url, key=Secret.from_token("so_1_hidden")).to_dict()
        with pytest.raises(InvalidRequest, match="both"):
            component(system.client, gateway_url=url)
        opened = component(gateway_url=url)
        opened.warm_up()
        assert isinstance(opened._client.get(), RemoteClient)
        opened.close()


def test_haystack_opens_a_client_of_the_gateway_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process is told of a gateway, its components go through that."""
    monkeypatch.setenv("OPINION_GATEWAY_URL", "http://127.0.0.1:8100")
    load_settings.cache_clear()
    try:
        retriever = haystack.SecondOpinionRetriever()
        assert isinstance(retriever._client.get(), RemoteClient)
        retriever.close()
    finally:
        load_settings.cache_clear()


def test_haystack_filters_become_ours() -> None:
    """Comparisons, absence, and AND; what cannot be asked is an error that says what can."""
    given = {
        "operator": "AND",
        "conditions": [
            {"field": "meta.lang", "operator": "in", "value": ["en", "de"]},
            {"operator": "AND", "conditions": [{"field": "year", "operator": ">=", "value": 2020}]},
            {"field": "meta.doi", "operator": "!=", "value": None},
            {"field": "meta.draft", "operator": "==", "value": True},
        ],
    }
    assert as_filters(given) == (
        {"op": "term", "field": "lang", "values": ["en", "de"]},
        {"op": "range", "field": "year", "gte": 2020},
        {"op": "exists", "field": "doi"},
        {"op": "term", "field": "draft", "values": [True]},
    )
    assert as_filters(None) == ()
    for wrong in (
        {"operator": "OR", "conditions": []},
        {"field": "meta.lang", "operator": "not in", "value": ["en"]},
        {"field": "meta.lang"},
    ):
        with pytest.raises(InvalidQuery) as caught:
            as_filters(wrong)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        ("langchain_core", "second_opinion.langchain", "langchain"),
        ("llama_index", "second_opinion.llama_index", "llama-index"),
        ("haystack", "second_opinion.haystack", "haystack"),
        ("mcp", "second_opinion.gateway.mcp.server", "mcp"),
    ],
)
def test_a_missing_framework_says_what_to_install(package: str, module: str, name: str) -> None:
    """In a process without the framework, the import ends in an error of the tree with the command to run."""
    code = (
        f"import sys, importlib; sys.modules[{package!r}] = None\n"
        "from second_opinion.schemas.errors import ExtraMissing\n"
        f"try: importlib.import_module({module!r})\n"
        "except ExtraMissing as problem: print(problem.message, problem.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"this needs {package}" in done.stdout
    assert f"second-opinion[{name}]" in done.stdout


def test_no_framework_is_imported_by_the_package_or_the_command_line() -> None:
    """`opinion --help` and `from second_opinion import Client` load none of them."""
    code = (
        "import sys; from click.testing import CliRunner; from second_opinion import Client\n"
        "from second_opinion.gateway.cli.program import program\n"
        "assert CliRunner().invoke(program, ['--help']).exit_code == 0\n"
        "print({'langchain_core', 'llama_index', 'haystack', 'mcp', 'fastapi'} & set(sys.modules) or '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_examples_of_the_page_work(system: MemorySystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python example of the how-to page runs; its chain and its engine answer from what it sends."""
    monkeypatch.setattr(second_opinion, "Client", lambda: system.client, raising=False)
    page = Path(__file__).parents[3] / "docs" / "how-to" / "frameworks.md"
    shown: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        own: dict[str, Any] = {}
        exec(compile(example, page.name, "exec"), own)  # noqa: S102 - the page is ours
        shown |= own
    text = "A manager approves refunds above one hundred euros."
    (receipt,) = shown["send"]([LangChainDocument(page_content=text, metadata={"source": "refunds.md"})])
    assert receipt.collection == "handbook"
    assert f"[refunds.md] {text}" in shown["answer_with"](ParrotFakeChatModel()).invoke(QUESTION)
    assert "(none)" in shown["answer_with"](ParrotFakeChatModel()).invoke(NOTHING)
    assert text in str(shown["engine_with"](MockLLM()).query(QUESTION))
    assert shown["again"].dumps() == shown["written"]
