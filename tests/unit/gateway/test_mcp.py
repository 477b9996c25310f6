"""The MCP tools, by the SDK's own client, on a whole system in memory."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client as Assistant
from mcp.types import CallToolResult, TextContent

from second_opinion.gateway.client import Client
from second_opinion.gateway.mcp.reach import Reach
from second_opinion.gateway.mcp.server import INSTRUCTIONS, make_server
from second_opinion.schemas.job import JobState
from second_opinion.workers.settings import Settings
from tests.unit.gateway.conftest import MemorySystem

QUESTION = "who approves refunds above one hundred euros"
NOTHING = "lighthouse keepers of the northern coast"
READING = ["search", "why", "document_status", "list_documents", "list_collections"]
WRITING = ["submit_document", "delete_document"]


@asynccontextmanager
async def assistant(client: Client, **options: Any) -> AsyncIterator[Assistant]:
    async with Assistant(make_server(client, **options)) as connected:
        yield connected


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - threads of the server make it true, and they know no event
            await asyncio.sleep(0.01)


def words(answer: CallToolResult) -> str:
    (content,) = answer.content
    assert isinstance(content, TextContent)
    return content.text


async def test_tools_are_read_only_unless_allowed(system: MemorySystem) -> None:
    """Without `allow_ingest` no tool writes; with it, those that do say that they destroy. All have output schemas."""
    async with assistant(system.client) as reader:
        tools = (await reader.list_tools()).tools
        assert [tool.name for tool in tools] == READING
        assert reader.instructions == INSTRUCTIONS
        refused = await reader.call_tool("delete_document", {"document_id": "refunds.md"})
        assert refused.is_error
    async with assistant(system.client, allow_ingest=True) as writer:
        tools = (await writer.list_tools()).tools
        assert [tool.name for tool in tools] == READING + WRITING
    for tool in tools:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (tool.name in READING)
        assert tool.annotations.destructive_hint is (tool.name in WRITING)
        assert tool.output_schema is not None
        assert tool.input_schema["additionalProperties"] is False


async def test_search_shows_passages_with_citations(handbook: MemorySystem) -> None:
    """Relevance, source and characters are in the words and in the data; the trace is that of the job."""
    async with assistant(handbook.client) as reader:
        answer = await reader.call_tool("search", {"question": QUESTION, "floor": 0.5, "top_k": 3})
    found = answer.structured_content
    assert not answer.is_error
    assert found["outcome"] == "answered"
    (passage,) = found["passages"]
    result = handbook.client.result(found["trace_id"]).result
    assert result is not None
    kept = result.kept[0]
    assert (passage["text"], passage["relevance"], passage["chunk_id"]) == (kept.text, kept.relevance, kept.chunk_id)
    assert passage["metadata"] == {"year": 2024, "lang": "en"}
    assert kept.text in words(answer)
    assert f"refunds.md · characters {kept.start}-{kept.end}" in words(answer)
    assert found["trace_id"] in words(answer)


async def test_a_refusal_is_told_in_words_with_the_best_relevance(handbook: MemorySystem) -> None:
    """A refusal is an answer: no error, no passages, the numbers, and what it means."""
    async with assistant(handbook.client) as reader:
        answer = await reader.call_tool("search", {"question": NOTHING})
    found = answer.structured_content
    assert not answer.is_error
    assert (found["outcome"], found["reason"], found["passages"]) == ("refused", "below_floor", [])
    assert found["best_relevance"] < found["floor"]
    assert words(answer).startswith(f"Refused: {found['sentence']}")
    assert "not a fault" in words(answer)


async def test_a_failure_is_an_error_and_no_refusal(handbook: MemorySystem) -> None:
    """Errors of the tree have their code, hint and whether to try again; a deadline without workers is one."""
    handbook.queue.stopped = True
    async with assistant(handbook.client, timeout=0.05) as reader:
        late = await reader.call_tool("search", {"question": QUESTION})
        nowhere = await reader.call_tool("search", {"question": QUESTION, "collection": "nowhere"})
        empty = await reader.call_tool("search", {"question": " "})
    for answer, code in ((late, "deadline_exceeded"), (nowhere, "unknown_collection"), (empty, "empty_query")):
        assert answer.is_error
        assert answer.structured_content["error"]["code"] == code
        assert words(answer).startswith(f"{code}: ")
        assert "Hint: " in words(answer)


async def test_servers_that_are_away_are_told_with_what_to_do(tmp_path: Path) -> None:
    """A store that does not answer is a transient error, and the last word is what to do."""
    nowhere = {"elasticsearch_url": "http://127.0.0.1:1", "elasticsearch_timeout": 1.0, "redis_timeout": 1.0}
    redis = dict.fromkeys(("broker_url", "jobs_url", "cache_url"), "redis://127.0.0.1:1/0")
    with Client(Settings.model_validate({**nowhere, **redis, "state_dir": tmp_path})) as client:
        async with assistant(client) as reader:
            listed = await reader.call_tool("list_collections", {})
            explained = await reader.call_tool("why", {"trace_id": "a", "document_id": "b"})
    for answer, code in ((listed, "store_unavailable"), (explained, "job_store_unavailable")):
        assert answer.is_error
        assert answer.structured_content["error"]["code"] == code
        assert answer.structured_content["error"]["transient"] is True
        assert words(answer).partition("Hint: ")[0].endswith("Trying again may help. ")


@pytest.mark.parametrize("arguments", [{"flour": 0.5}, {"floor": 1.5}, {"filters": [{"op": "near", "field": "lang"}]}])
async def test_arguments_that_cannot_be_used_are_errors(handbook: MemorySystem, arguments: dict[str, Any]) -> None:
    """A misspelt argument, one out of range and a filter that does not exist are named, not left out."""
    async with assistant(handbook.client) as reader:
        answer = await reader.call_tool("search", {"question": QUESTION, **arguments})
    assert answer.is_error
    assert next(iter(arguments)) in words(answer)


async def test_filters_choose_documents(handbook: MemorySystem) -> None:
    """Only what fits is searched; the fields to filter on are listed with the collection."""
    filters = [{"op": "range", "field": "year", "lt": 2020}]
    async with assistant(handbook.client) as reader:
        listed = await reader.call_tool("list_collections", {})
        answer = await reader.call_tool("search", {"question": QUESTION, "floor": 0.0, "filters": filters})
    (collection,) = listed.structured_content["collections"]
    assert collection["fields"] == {"lang": "keyword", "shelf": "keyword", "year": "double"}
    assert [one["document_id"] for one in answer.structured_content["passages"]] == ["dogs.md"]


async def test_why_names_the_stage(handbook: MemorySystem) -> None:
    """The tool says what became of a document, by the trace of a search."""
    async with assistant(handbook.client) as reader:
        asked = await reader.call_tool("search", {"question": QUESTION, "floor": 0.5})
        trace_id = asked.structured_content["trace_id"]
        answer = await reader.call_tool("why", {"trace_id": trace_id, "document_id": "dogs.md"})
    assert answer.structured_content["fate"] == "below_floor"
    assert answer.structured_content["passages"][0]["decision"] == "below_floor"
    assert words(answer).startswith("dogs.md: below floor.")


async def test_documents_are_added_looked_at_and_deleted(system: MemorySystem) -> None:
    """A document that an assistant sends is searchable when it hears so; a deleted one is gone."""
    sent = {"document_id": "keys", "text": "Keys are at the desk.", "title": "Keys", "metadata": {"floor": 2}}
    async with assistant(system.client, allow_ingest=True) as writer:
        added = await writer.call_tool("submit_document", sent)
        status = await writer.call_tool("document_status", {"document_id": "keys"})
        searched = await writer.call_tool("search", {"question": "where are keys at the desk", "floor": 0.1})
        deleted = await writer.call_tool("delete_document", {"document_id": "keys"})
        again = await writer.call_tool("search", {"question": "where are keys at the desk", "floor": 0.1})
        wrong = await writer.call_tool("submit_document", {"document_id": "keys", "text": " "})
    assert added.structured_content == {
        "collection": "default",
        "document_id": "keys",
        "outcome": "accepted",
        "state": "indexed",
        "searchable": True,
    }
    assert (status.structured_content["chunks"], status.structured_content["current"]) == (1, True)
    assert searched.structured_content["passages"][0]["metadata"] == {"floor": 2}
    assert deleted.structured_content["outcome"] == "deleted"
    assert again.structured_content["passages"] == []
    assert wrong.structured_content["error"]["code"] == "empty_document"


async def test_waiting_for_a_document_ends(system: MemorySystem) -> None:
    """What is not searchable in time is kept all the same, and the answer says that it is being worked on."""
    system.queue.stopped = True
    async with assistant(system.client, allow_ingest=True) as writer:
        added = await writer.call_tool("submit_document", {"document_id": "a", "text": "one", "wait_seconds": 0.05})
    assert (added.structured_content["state"], added.structured_content["searchable"]) == ("received", False)
    assert "document_status" in words(added)


async def test_documents_are_listed_in_pages(handbook: MemorySystem) -> None:
    """`next` leads to the rest, and is None on the last page."""
    async with assistant(handbook.client) as reader:
        first = (await reader.call_tool("list_documents", {"limit": 2})).structured_content
        rest = (await reader.call_tool("list_documents", {"limit": 2, "after": first["next"]})).structured_content
    assert [one["document_id"] for one in first["documents"]] == ["dogs.md", "refunds.md"]
    assert [one["document_id"] for one in rest["documents"]] == ["tea.md"]
    assert rest["next"] is None


async def test_a_reach_hides_other_collections(handbook: MemorySystem) -> None:
    """What is out of reach does not exist: not to search, to list, to look at, to write, nor by an old trace."""
    handbook.client.submit_document(id="a", collection="open", text="Tea is in the kitchen.")
    job = handbook.client.submit_query(QUESTION)
    async with assistant(handbook.client, reach=Reach(("open",)), allow_ingest=True) as reader:
        listed = await reader.call_tool("list_collections", {})
        searched = await reader.call_tool("search", {"question": "where is tea in the kitchen", "floor": 0.1})
        hidden = [
            await reader.call_tool("search", {"question": QUESTION, "collection": "default"}),
            await reader.call_tool("document_status", {"document_id": "refunds.md", "collection": "default"}),
            await reader.call_tool("list_documents", {"collection": "default"}),
            await reader.call_tool("delete_document", {"document_id": "refunds.md", "collection": "default"}),
            await reader.call_tool("submit_document", {"document_id": "b", "text": "x", "collection": "default"}),
            await reader.call_tool("why", {"trace_id": job.job_id, "document_id": "refunds.md"}),
        ]
        never = await reader.call_tool("why", {"trace_id": "never", "document_id": "refunds.md"})
    assert [one["name"] for one in listed.structured_content["collections"]] == ["open"]
    assert searched.structured_content["collection"] == "open"
    assert [one.structured_content["error"]["code"] for one in hidden] == ["unknown_collection"] * 5 + ["unknown_job"]
    assert words(hidden[-1]).replace(job.job_id, "never") == words(never)
    assert handbook.client.document_status("refunds.md").searchable


async def test_a_search_that_nobody_wants_any_more_is_cancelled(handbook: MemorySystem) -> None:
    """When the assistant lets go of a call, its job ends as cancelled instead of taking a worker's time."""
    handbook.queue.stopped = True
    async with assistant(handbook.client) as reader:
        call = asyncio.create_task(reader.call_tool("search", {"question": QUESTION}))
        await until(lambda: bool(handbook.queue.retrievals))
        (job_id,) = handbook.queue.retrievals
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: handbook.client.result(job_id).state is JobState.CANCELLED)


def test_without_the_extra_the_command_says_what_to_install() -> None:
    """`opinion mcp` without the SDK ends with a sentence and a hint; its help is there all the same."""
    code = "import sys; sys.modules['mcp'] = None; from second_opinion.gateway.cli import main; main()"
    lacking = subprocess.run([sys.executable, "-c", code, "mcp"], capture_output=True, text=True, check=False)
    assert lacking.returncode == 4
    assert lacking.stdout == ""
    assert 'pip install "second-opinion[mcp]"' in lacking.stderr
    helping = subprocess.run([sys.executable, "-c", code, "mcp", "--help"], capture_output=True, text=True, check=True)
    assert "--allow-ingest" in helping.stdout
