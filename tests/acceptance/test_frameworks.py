"""The retrievers inside their own frameworks: chains, engines and pipelines over real servers, workers and models."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from haystack import Document as HaystackDocument
from haystack import Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.routers import ConditionalRouter
from haystack.core.errors import DeserializationError, PipelineRuntimeError
from langchain_core.documents import Document
from langchain_core.language_models import ParrotFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

from second_opinion import AsyncClient, Client, haystack, langchain, llama_index
from second_opinion.schemas.errors import DeadlineExceeded, OpinionError, QueryRefused
from second_opinion.schemas.verdict import Outcome, QueryResult
from second_opinion.workers.settings import load_settings
from tests.acceptance.conftest import System

CHILDREN = "ibuprofen-dosage-children.md"
QUESTION = "ibuprofen dosage for children"
NOTHING = "how do I reset the password of my router?"


@pytest.fixture(scope="module")
def samples(system: System) -> System:
    """A running system with the samples in it, and a notice that filters can tell from them."""
    system.start("index", "retrieve", "rerank")
    done = system.opinion("ingest", "--samples", "--json")
    assert done.returncode == 0, done.stderr
    with system.client() as client:
        client.submit_document(id="notice", text="The pharmacy is closed on Sundays.", metadata={"kind": "notice"})
        client.wait_document("notice", timeout=120.0)
    return system


@pytest.fixture(scope="module")
def client(samples: System) -> Iterator[Client]:
    """A client of it."""
    with samples.client() as opened:
        yield opened


def chain(client: Any, **fields: Any) -> Runnable[str, str]:
    """Return a chain whose model repeats what it was asked."""
    retriever = langchain.SecondOpinionRetriever(client=client, **fields)
    prompt = ChatPromptTemplate.from_template("Sources:\n{sources}\nQuestion: {question}")
    return (
        {"sources": retriever | _sources, "question": RunnablePassthrough()}
        | prompt
        | ParrotFakeChatModel()
        | StrOutputParser()
    )


def _sources(documents: list[Document]) -> str:
    return "\n".join(f"[{one.metadata['source']}] {one.page_content}" for one in documents) or "(none)"


def test_a_langchain_chain_gives_its_model_the_kept_passages(client: Client) -> None:
    """In an LCEL chain the model reads the passage that answers, with its source; off topic, that there is none."""
    heard: list[QueryResult] = []
    asking = chain(client, on_result=heard.append)
    told, refused = asking.batch([QUESTION, NOTHING])
    assert f"[{CHILDREN}]" in told
    kept = next(one for one in heard if one.outcome is Outcome.ANSWERED)
    assert all(passage.text in told for passage in kept.kept)
    assert "(none)" in refused
    assert {one.outcome for one in heard} == {Outcome.ANSWERED, Outcome.REFUSED}


async def test_a_langchain_chain_runs_on_asyncio(samples: System) -> None:
    """The same chain, awaited, with the asyncio client; a refusal can be raised through it."""
    async with AsyncClient(samples.settings) as asynchronous:
        assert f"[{CHILDREN}]" in await chain(asynchronous).ainvoke(QUESTION)
        with pytest.raises(QueryRefused) as caught:
            await chain(asynchronous, on_refusal="raise").ainvoke(NOTHING)
        assert (await asynchronous.result(caught.value.job_id)).result is not None


def test_a_llama_index_engine_answers_from_the_kept_passages(client: Client) -> None:
    """A query engine synthesises from our nodes and returns them as its sources, by relevance."""
    retriever = llama_index.SecondOpinionRetriever(client, floor=0.3)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    response = engine.query(QUESTION)
    assert response.source_nodes[0].metadata["document_id"] == CHILDREN
    assert response.source_nodes[0].score == response.source_nodes[0].metadata["relevance"]
    assert response.source_nodes[0].text in str(response)
    assert "raw_score" not in str(response)


async def test_a_llama_index_engine_says_nothing_on_a_refusal(client: Client, samples: System) -> None:
    """Refused, an engine has no sources and an empty response, from a thread and on asyncio."""
    refused = RetrieverQueryEngine.from_args(llama_index.SecondOpinionRetriever(client), llm=MockLLM()).query(NOTHING)
    assert (refused.source_nodes, str(refused)) == ([], "Empty Response")
    async with AsyncClient(samples.settings) as asynchronous:
        engine = RetrieverQueryEngine.from_args(llama_index.SecondOpinionRetriever(asynchronous), llm=MockLLM())
        response = await engine.aquery(QUESTION)
        assert response.source_nodes[0].metadata["document_id"] == CHILDREN
        assert (await engine.aquery(NOTHING)).source_nodes == []


@pytest.fixture
def environment(samples: System, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of the system, as a program that loads a pipeline has it."""
    for name, value in samples.environment.items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def a_pipeline(retriever: Any) -> Pipeline:
    """Return a pipeline that builds a prompt when there is an answer, and tells the refusal otherwise."""
    pipeline = Pipeline()
    pipeline.add_component("retriever", retriever)
    routes: Any = [
        {
            "condition": "{{ outcome == 'answered' }}",
            "output": "{{ documents }}",
            "output_name": "documents",
            "output_type": list[HaystackDocument],
        },
        {"condition": "{{ True }}", "output": "{{ refusal }}", "output_name": "refusal", "output_type": str},
    ]
    pipeline.add_component("router", ConditionalRouter(routes, unsafe=True))
    template = "{% for one in documents %}[{{ one.meta.source }}] {{ one.content }}\n{% endfor %}"
    pipeline.add_component("prompt", PromptBuilder(template, required_variables=["documents"]))
    for name in ("documents", "outcome", "refusal"):
        pipeline.connect(f"retriever.{name}", f"router.{name}")
    pipeline.connect("router.documents", "prompt.documents")
    return pipeline


def test_a_haystack_pipeline_branches_on_a_refusal(client: Client) -> None:
    """In a real pipeline documents go on to the prompt, and a refusal takes the other way, in words."""
    pipeline = a_pipeline(haystack.SecondOpinionRetriever(client))
    answered = pipeline.run({"retriever": {"query": QUESTION}})
    refused = pipeline.run({"retriever": {"query": NOTHING}})
    assert f"[{CHILDREN}]" in answered["prompt"]["prompt"]
    assert "prompt" not in refused
    assert refused["router"]["refusal"].startswith("Nothing cleared 0.40")


@pytest.mark.usefixtures("environment")
def test_a_haystack_pipeline_survives_being_written_down() -> None:
    """Written as YAML and read again it asks the same; the framework wants to be told that the module may be read."""
    filters = {"field": "meta.kind", "operator": "==", "value": None}
    written = Pipeline()
    written.add_component("retriever", haystack.SecondOpinionRetriever(floor=0.25, top_k=2, filters=filters))
    text = written.dumps()
    with pytest.raises(DeserializationError, match="second_opinion"):
        Pipeline.loads(text)
    read = Pipeline.loads(text, allowed_modules=["second_opinion.haystack"])
    assert read.dumps() == text
    try:
        found = read.run({"retriever": {"query": QUESTION}})["retriever"]
        notices = {"field": "meta.kind", "operator": "==", "value": "notice"}
        others = read.run({"retriever": {"query": QUESTION, "filters": notices}})["retriever"]
    finally:
        read.close()
    assert found["documents"][0].meta["document_id"] == CHILDREN
    assert found["documents"][0].meta["floor"] == 0.25
    assert len(found["documents"]) <= 2
    assert (others["documents"], others["outcome"]) == ([], "refused")


@pytest.mark.usefixtures("environment")
def test_documents_come_in_through_the_frameworks(client: Client) -> None:
    """What a LangChain loader loads and what a Haystack pipeline writes is answered from by the third framework."""
    loaded = Document(
        page_content="The lift is mended every March.", metadata={"source": "lift.md", "title": "The lift"}
    )
    langchain.submit_documents(client, [loaded])
    writing = Pipeline()
    writing.add_component("writer", haystack.SecondOpinionWriter(id_field="file_path"))
    bicycle = HaystackDocument(
        content="Bicycles stand in the cellar, beside the boiler.", meta={"file_path": "cellar.md"}
    )
    assert writing.run({"writer": {"documents": [bicycle]}})["writer"] == {"documents_written": 1}
    writing.close()
    for name in ("lift.md", "cellar.md"):
        client.wait_document(name, timeout=120.0)
    retriever = llama_index.SecondOpinionRetriever(client)
    assert retriever.retrieve("when is the lift mended?")[0].metadata["title"] == "The lift"
    assert retriever.retrieve("where do bicycles stand?")[0].metadata["source"] == "cellar.md"


@pytest.mark.usefixtures("environment")
async def test_a_haystack_pipeline_runs_on_asyncio() -> None:
    """The same pipeline, awaited."""
    pipeline = a_pipeline(haystack.SecondOpinionRetriever())
    answered = await pipeline.run_async({"retriever": {"query": QUESTION}})
    assert f"[{CHILDREN}]" in answered["prompt"]["prompt"]
    await pipeline.close_async()


@pytest.fixture(scope="module")
def without_rerankers(samples: System) -> None:
    """No rerank worker any more: the tests behind this one have none."""
    for worker in samples.of("rerank"):
        worker.stop()


ENGINES: dict[str, Callable[[Client], Any]] = {
    "langchain": lambda client: chain(client, timeout=3.0).invoke(QUESTION),
    "llama_index": lambda client: RetrieverQueryEngine.from_args(
        llama_index.SecondOpinionRetriever(client, timeout=3.0), llm=MockLLM()
    ).query(QUESTION),
    "haystack": lambda client: a_pipeline(haystack.SecondOpinionRetriever(client, timeout=3.0)).run(
        {"retriever": {"query": QUESTION}}
    ),
}


@pytest.mark.usefixtures("without_rerankers")
@pytest.mark.parametrize("framework", ENGINES)
def test_a_failure_is_an_error_in_every_framework(client: Client, framework: str) -> None:
    """Without rerank workers the chain, engine or pipeline ends with our typed error, and not with an empty answer."""
    with pytest.raises((OpinionError, PipelineRuntimeError)) as caught:
        ENGINES[framework](client)
    problem = caught.value if isinstance(caught.value, OpinionError) else caught.value.__cause__
    assert isinstance(problem, DeadlineExceeded)
    assert "opinion status" in problem.hint
