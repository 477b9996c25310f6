"""The retrievers and the MCP server through the HTTP gateway, with a key that may query one collection."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from haystack import Document, Pipeline
from haystack.utils import Secret
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from mcp import Client as Assistant
from mcp import StdioServerParameters

from second_opinion import AsyncClient, Client, haystack, langchain, llama_index
from second_opinion.schemas.errors import AccessDenied, QueryRefused, Unauthenticated, UnknownCollection
from tests.acceptance.conftest import System, wait_until

CHILDREN = "ibuprofen-dosage-children.md"
QUESTION = "ibuprofen dosage for children"
NOTHING = "how do I reset the password of my router?"


@dataclass(frozen=True)
class Gateway:
    """A gateway, and a key that may query the samples."""

    url: str
    key: str

    def client(self) -> Client:
        """Return a client through it."""
        return Client.connect(self.url, key=self.key)


@pytest.fixture(scope="module")
def gateway(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A running system with the samples in it, and `opinion serve` before it."""
    system.start("index", "retrieve", "rerank")
    done = system.opinion("ingest", "--samples", "--json")
    assert done.returncode == 0, done.stderr
    made = system.opinion("keys", "create", "framework", "--scope", "query", "--collection", "default")
    assert made.returncode == 0, made.stderr
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("gateway") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "second_opinion.gateway", "serve", "--port", str(port)],
            env={**os.environ, **system.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None, 90.0, log.read_text)
        assert process.poll() is None, log.read_text()
        yield Gateway(f"http://127.0.0.1:{port}", made.stdout.strip())
    finally:
        process.terminate()
        process.wait(45)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def test_langchain_retrieves_through_the_gateway(gateway: Gateway) -> None:
    """Passages, choices for one question, refusals: as beside the servers."""
    with gateway.client() as client:
        retriever = langchain.SecondOpinionRetriever(client=client)
        found = retriever.invoke(QUESTION)
        assert found[0].metadata["document_id"] == CHILDREN
        assert found[0].metadata["relevance"] >= 0.4
        assert retriever.invoke(NOTHING) == []
        assert retriever.invoke(QUESTION, floor=1.0) == []
        with pytest.raises(QueryRefused) as caught:
            langchain.SecondOpinionRetriever(client=client, on_refusal="raise").invoke(NOTHING)
        assert client.result(caught.value.job_id).result is not None


async def test_llama_index_asks_through_the_gateway_without_a_thread(gateway: Gateway) -> None:
    """A query engine on asyncio, with the asyncio client of the gateway."""
    async with AsyncClient.connect(gateway.url, key=gateway.key) as client:
        engine = RetrieverQueryEngine.from_args(llama_index.SecondOpinionRetriever(client), llm=MockLLM())
        response = await engine.aquery(QUESTION)
        assert response.source_nodes[0].metadata["document_id"] == CHILDREN
        assert (await engine.aquery(NOTHING)).source_nodes == []


def test_haystack_opens_its_own_client_of_the_gateway(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that was written down knows the gateway, and takes the key from where it runs."""
    written = Pipeline()
    written.add_component("retriever", haystack.SecondOpinionRetriever(gateway_url=gateway.url))
    text = written.dumps()
    assert gateway.key not in text
    monkeypatch.setenv("OPINION_GATEWAY_KEY", gateway.key)
    read = Pipeline.loads(text, allowed_modules=["second_opinion.haystack"])
    found = read.run({"retriever": {"query": QUESTION}})["retriever"]
    refused = read.run({"retriever": {"query": NOTHING}})["retriever"]
    read.close()
    assert found["documents"][0].meta["document_id"] == CHILDREN
    assert (refused["documents"], refused["outcome"]) == ([], "refused")


def test_what_a_key_may_not_is_an_error_of_its_kind(gateway: Gateway) -> None:
    """A wrong key, another collection and a scope that the key lacks are typed errors, never empty lists."""
    with Client.connect(gateway.url, key="so_0_wrong") as stranger, pytest.raises(Unauthenticated):
        langchain.SecondOpinionRetriever(client=stranger).invoke(QUESTION)
    with gateway.client() as client, pytest.raises(UnknownCollection):
        llama_index.SecondOpinionRetriever(client, collection="others").retrieve(QUESTION)
    writer = haystack.SecondOpinionWriter(gateway_url=gateway.url, key=Secret.from_token(gateway.key))
    with pytest.raises(AccessDenied):
        writer.run([Document(content="Nobody may write this.")])
    writer.close()


async def test_an_assistant_works_through_the_gateway(gateway: Gateway) -> None:
    """`opinion mcp` needs no server but the gateway: it sees what its key sees, and is refused what the key lacks."""
    known = {"OPINION_GATEWAY_URL": gateway.url, "OPINION_GATEWAY_KEY": gateway.key}
    away = {"OPINION_ELASTICSEARCH_URL": "http://127.0.0.1:1", "OPINION_BROKER_URL": "redis://127.0.0.1:1/0"}
    command = ["-m", "second_opinion.gateway", "mcp", "--allow-ingest"]
    async with Assistant(StdioServerParameters(command=sys.executable, args=command, env=known | away)) as reader:
        listed = await reader.call_tool("list_collections", {})
        answer = await reader.call_tool("search", {"question": QUESTION})
        refused = await reader.call_tool("search", {"question": NOTHING})
        asked = {"trace_id": answer.structured_content["trace_id"], "document_id": "how-ibuprofen-works.md"}
        why = await reader.call_tool("why", asked)
        status = await reader.call_tool("document_status", {"document_id": CHILDREN})
        documents = await reader.call_tool("list_documents", {"limit": 3})
        denied = await reader.call_tool("submit_document", {"document_id": "a", "text": "b"})
        hidden = await reader.call_tool("search", {"question": QUESTION, "collection": "others"})
    assert [one["name"] for one in listed.structured_content["collections"]] == ["default"]
    assert answer.structured_content["passages"][0]["document_id"] == CHILDREN
    assert refused.structured_content["outcome"] == "refused"
    assert why.structured_content["fate"] == "below_floor"
    assert status.structured_content["searchable"] is True
    assert len(documents.structured_content["documents"]) == 3
    assert documents.structured_content["next"] is not None
    assert denied.structured_content["error"]["code"] == "access_denied"
    assert hidden.structured_content["error"]["code"] == "unknown_collection"
