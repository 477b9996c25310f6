"""`opinion mcp` as a process, driven by the SDK's own client over real servers, workers and models."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import IO, Any

import pytest
from mcp import Client as Assistant
from mcp import StdioServerParameters
from mcp.types import CallToolResult, TextContent

from second_opinion import Client
from second_opinion.schemas.job import JobState
from tests.acceptance.conftest import System, wait_until

CHILDREN = "ibuprofen-dosage-children.md"
QUESTION = "ibuprofen dosage for children"
NOTHING = "how do I reset the password of my router?"
COMMAND = [sys.executable, "-m", "second_opinion.gateway", "mcp"]


@pytest.fixture(scope="module")
def samples(system: System) -> System:
    """A running system with the samples in it."""
    system.start("index", "retrieve", "rerank")
    done = system.opinion("ingest", "--samples", "--json")
    assert done.returncode == 0, done.stderr
    return system


@asynccontextmanager
async def assistant(system: System, *arguments: str) -> AsyncIterator[Assistant]:
    """An assistant that has started `opinion mcp` itself and speaks to it over stdin and stdout."""
    started = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *arguments], env=system.environment)
    async with Assistant(started) as connected:
        yield connected


def words(answer: CallToolResult) -> str:
    (content,) = answer.content
    assert isinstance(content, TextContent)
    return content.text


async def test_an_assistant_searches_and_cites(samples: System) -> None:
    """The passage that answers comes with relevance and place, and `why` explains the look-alike that does not."""
    async with assistant(samples) as reader:
        assert reader.server_info is not None
        assert reader.server_info.name == "second-opinion"
        answer = await reader.call_tool("search", {"question": QUESTION})
        found = answer.structured_content
        why = await reader.call_tool("why", {"trace_id": found["trace_id"], "document_id": "how-ibuprofen-works.md"})
    assert found["outcome"] == "answered"
    assert found["passages"][0]["document_id"] == CHILDREN
    assert found["passages"][0]["relevance"] >= found["floor"]
    assert found["calibration"] == "shipped"
    assert f"{CHILDREN} · characters" in words(answer)
    assert why.structured_content["fate"] == "below_floor"


async def test_a_refusal_is_told_in_words(samples: System) -> None:
    """Off topic, the assistant hears that nothing cleared the floor, and how close the best came; no error."""
    async with assistant(samples) as reader:
        answer = await reader.call_tool("search", {"question": NOTHING})
    assert not answer.is_error
    assert answer.structured_content["outcome"] == "refused"
    assert answer.structured_content["best_relevance"] < 0.4
    assert words(answer).startswith("Refused: Nothing cleared 0.40; best was ")


async def test_an_assistant_that_may_adds_and_deletes(samples: System) -> None:
    """A document sent through the protocol is found by the next search, and gone after it was deleted."""
    sent = {
        "document_id": "parking",
        "title": "Where visitors can park",
        "text": "Visitors can park in the yard behind the pharmacy, free of charge for two hours.",
        "wait_seconds": 60,
    }
    question = {"question": "where can visitors park?"}
    async with assistant(samples, "--allow-ingest") as writer:
        added = await writer.call_tool("submit_document", sent)
        found = await writer.call_tool("search", question)
        await asyncio.sleep(2.0)  # A list may be a second behind.
        listed = await writer.call_tool("list_documents", {"limit": 200})
        await writer.call_tool("delete_document", {"document_id": "parking"})
        gone = await writer.call_tool("search", question)
    assert added.structured_content["searchable"] is True
    assert found.structured_content["passages"][0]["document_id"] == "parking"
    assert "parking" in [one["document_id"] for one in listed.structured_content["documents"]]
    assert "parking" not in [one["document_id"] for one in gone.structured_content["passages"]]


@contextmanager
def serving(system: System, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """The process with its pipes, and the file that its stderr goes to."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**os.environ, **system.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield process, errors
        finally:
            process.kill()
            process.wait(10)


def send(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    process.stdin.flush()


def greet(process: subprocess.Popen[str]) -> None:
    """Do the handshake of older assistants."""
    assert process.stdout is not None
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}
    send(process, {"id": 1, "method": "initialize", "params": params})
    answer = json.loads(process.stdout.readline())
    assert answer["result"]["protocolVersion"] == "2025-06-18"
    send(process, {"method": "notifications/initialized"})


def test_stdout_carries_the_protocol_alone(samples: System) -> None:
    """With all logging on, and an error among the answers, each line of stdout is a message; the log is on stderr."""
    with serving(samples, OPINION_LOG_LEVEL="DEBUG") as (process, errors):
        greet(process)
        wrong = {"name": "search", "arguments": {"question": QUESTION, "floor": 7}}
        send(process, {"id": 2, "method": "tools/call", "params": wrong})
        out, _ = process.communicate(timeout=180.0)
        assert process.returncode == 0
        lines = [json.loads(line) for line in out.splitlines()]
        errors.seek(0)
        assert "rejected arguments" in errors.read()
    assert [line["jsonrpc"] for line in lines] == ["2.0"] * len(lines)
    assert [line["result"]["isError"] for line in lines if line.get("id") == 2] == [True]


def test_http_serves_this_machine_alone(samples: System) -> None:
    """`--http` listens on loopback, answers the SDK's client, and turns away a page that uses another name for it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with serving(samples, "--http", "--port", str(port)) as (process, _):
        wait_until(lambda: _answers(port) or process.poll() is not None, 60.0)

        async def ask() -> CallToolResult:
            async with Assistant(f"http://127.0.0.1:{port}/mcp") as reader:
                return await reader.call_tool("search", {"question": NOTHING})

        assert asyncio.run(ask()).structured_content["outcome"] == "refused"
        assert _status(port, host="evil.example") == 421
        busy = samples.opinion("mcp", "--http", "--port", str(port))
        assert busy.returncode == 4
        assert f"127.0.0.1:{port}" in busy.stderr
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _status(port: int, *, host: str) -> int:
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10.0) as connection:
        connection.sendall(head.encode() + body)
        return int(connection.makefile().readline().split()[1])


@pytest.fixture(scope="module")
def without_rerankers(samples: System) -> None:
    """No rerank worker any more: the tests behind this one have none."""
    for worker in samples.of("rerank"):
        worker.stop()


@pytest.mark.usefixtures("without_rerankers")
async def test_a_failure_is_an_error_and_no_refusal(samples: System) -> None:
    """Without rerank workers the tool fails with its code and a hint."""
    async with assistant(samples, "--timeout", "3") as reader:
        answer = await reader.call_tool("search", {"question": QUESTION})
    assert answer.is_error
    assert answer.structured_content["error"]["code"] == "deadline_exceeded"
    assert "Hint: " in words(answer)


@pytest.mark.usefixtures("without_rerankers")
def test_it_ends_with_its_assistant(samples: System) -> None:
    """When stdin ends in the middle of a search, the process ends at once and the job is cancelled."""
    with samples.client() as client, serving(samples, "--timeout", "300") as (process, errors):
        greet(process)
        asked = {"name": "search", "arguments": {"question": f"{QUESTION}?"}}
        send(process, {"id": 2, "method": "tools/call", "params": asked})
        wait_until(lambda: len(unfinished(client)) == 1, 60.0)
        (job_id,) = unfinished(client)
        begun = time.monotonic()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
        errors.seek(0)
        assert process.returncode == 0, errors.read()
        assert time.monotonic() - begun < 10.0
        assert client.result(job_id).state is JobState.CANCELLED


def unfinished(client: Client) -> list[str]:
    return client.parts.jobs.unfinished(submitted_before=time.time() + 60.0, limit=10)
