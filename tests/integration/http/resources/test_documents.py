"""Documents over HTTP: durable when accepted, streamed in bounded memory, watched, listed, deleted."""

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from second_opinion.gateway.http.routes import documents as routes
from second_opinion.pipeline.ports import Swap
from second_opinion.schemas.document import DocumentState, DocumentStatus, Receipt, WriteSet, document_key
from second_opinion.schemas.errors import Overloaded, StoreUnavailable
from tests.integration.http.conftest import GatewayRig, Served

pytestmark = pytest.mark.stack

BATCH = "/v1/documents/batch"
NDJSON = {"Content-Type": "application/x-ndjson"}


def fresh() -> str:
    """Return an id that no other test has."""
    return f"refunds/{uuid.uuid4().hex[:8]} ü.md"


def where(document_id: str, collection: str = "handbook") -> str:
    """Return the address of a document."""
    return f"/v1/collections/{collection}/documents/{quote(document_id, safe='')}"


def settle(gateway: GatewayRig, document_id: str, state: DocumentState = DocumentState.INDEXED) -> None:
    """Do to a record what an index worker does at last."""
    store = gateway.client.parts.stores.documents
    (seen,) = store.get([document_key("handbook", document_id)]).values()
    sets = {"index": WriteSet(write_set="g.1", chunks=1)}
    committed = {"committed": sets, "committed_target": seen.record.target, "committed_hash": seen.record.content_hash}
    assert store.swap([Swap(seen.record.model_copy(update={"state": state, **committed}), seen)])[0]


async def send(api: httpx.AsyncClient, document_id: str, **fields: Any) -> httpx.Response:
    """Send a document."""
    body = {"id": document_id, "collection": "handbook", "text": "A manager approves refunds.", **fields}
    return await api.post("/v1/documents", json=body)


async def lines(api: httpx.AsyncClient, *given: Any, **options: Any) -> list[Receipt]:
    """Send lines and return their receipts."""
    body = b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in given)
    answer = await api.post(BATCH, content=body, headers=NDJSON, **options)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [Receipt.model_validate_json(line) for line in answer.content.splitlines()]


async def test_an_accepted_document_is_recorded(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """The receipt comes when it is durable; the same again is unchanged; its address leads to its status."""
    name = fresh()
    answer = await send(api, name, metadata={"team": "sales"})
    receipt = Receipt.model_validate_json(answer.content)
    assert (answer.status_code, receipt.outcome) == (202, "accepted")
    assert gateway.client.document_status(name, collection="handbook").target == receipt.target
    settle(gateway, name)
    assert (await send(api, name, metadata={"team": "sales"})).json()["outcome"] == "unchanged"
    status = await api.get(answer.headers["location"])
    assert DocumentStatus.model_validate_json(status.content).document_id == name
    tag = status.headers["etag"]
    assert (await api.get(where(name), headers={"If-None-Match": tag})).status_code == 304


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"text": " "}, 422, "empty_document"),
        ({"content": "QQ=="}, 422, "empty_document"),
        ({"text": None, "content": "not base64!"}, 422, "invalid_document"),
        ({"titel": "x"}, 422, "invalid_document"),
        ({"media_type": "image/png"}, 422, "unsupported_media_type"),
        ({"metadata": {"a": [1, "x"]}}, 422, "metadata_type_conflict"),
        ({"collection": "Not a name"}, 422, "invalid_document"),
    ],
)
async def test_a_document_that_cannot_be_taken_in(
    api: httpx.AsyncClient, fields: dict[str, Any], status: int, code: str
) -> None:
    """The error has its own code and names what to do."""
    answer = await send(api, fresh(), **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["hint"]


async def test_another_content_under_the_same_version_is_a_conflict(api: httpx.AsyncClient) -> None:
    """Nothing is overwritten; the status is that of a conflict."""
    name = fresh()
    assert (await send(api, name, source_version=7)).status_code == 202
    answer = await send(api, name, source_version=7, text="Nobody approves refunds.")
    assert (answer.status_code, answer.json()["code"]) == (409, "version_conflict")


async def test_a_caller_may_wait_until_it_is_searchable(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """A hundred callers wait for ten documents by few looks, and each hears of its own."""
    names = [fresh() for _ in range(10)]
    await lines(api, *({"id": name, "collection": "handbook", "text": "x"} for name in names))
    looks: list[int] = []
    held = gateway.app.state.gateway
    statuses = held.client.document_statuses

    def counted(asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], DocumentStatus]:
        looks.append(len(asked))
        found: dict[tuple[str, str], DocumentStatus] = statuses(asked)
        return found

    routes.document_waits(held)._look = lambda asked: held.run(counted, asked)  # type: ignore[method-assign]
    waiting = [
        asyncio.create_task(api.get(where(name), headers={"Prefer": "wait=50"})) for name in names for _ in range(10)
    ]
    await asyncio.sleep(2.0)
    assert not any(task.done() for task in waiting)
    for place, name in enumerate(names):
        state = DocumentState.FAILED if place == 0 else DocumentState.INDEXED
        await asyncio.to_thread(settle, gateway, name, state)
    states = [(await task).json()["state"] for task in waiting]
    assert states == ["failed"] * 10 + ["indexed"] * 90
    assert max(looks) == 10
    assert len(looks) < 40
    assert routes.document_waits(held)._waiting == {}


async def test_waiting_ends_with_its_time(api: httpx.AsyncClient) -> None:
    """A document that is still under way is told as it is."""
    name = fresh()
    await send(api, name)
    started = time.monotonic()
    answer = await api.get(where(name), headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["state"]) == (200, "received")
    assert 0.9 < time.monotonic() - started < 15.0
    assert (await api.get(where(fresh()), headers={"Prefer": "wait=30"})).status_code == 404


async def test_a_deleted_document_is_gone(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """A version that is newer than the deletion's stays; an unknown one is unknown."""
    name = fresh()
    await send(api, name, source_version=7)
    kept = await api.delete(where(name), params={"source_version": 6})
    assert kept.json()["outcome"] == "superseded"
    gone = await api.delete(where(name), params={"source_version": 8})
    assert (gone.status_code, gone.json()["outcome"]) == (200, "deleted")
    assert gateway.client.document_status(name, collection="handbook").state is DocumentState.DELETED
    assert (await api.delete(where(fresh()))).status_code == 404


async def test_documents_are_listed_by_pages(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Following `next` leads through all of them, each once; a state narrows them down."""
    prefix = fresh()
    names = [f"{prefix}-{number}" for number in range(7)]
    await lines(api, *({"id": name, "collection": "secrets", "text": "x"} for name in names))
    await asyncio.sleep(1.5)
    found: list[str] = []
    after: str | None = prefix
    while after is not None:
        page = await api.get(
            "/v1/collections/secrets/documents", params={"after": after, "limit": 3, "state": "received"}
        )
        found += [one["document_id"] for one in page.json()["documents"]]
        after = page.json()["next"]
    assert found == names
    failed = await api.get("/v1/collections/secrets/documents", params={"state": "failed"})
    assert failed.json() == {"documents": [], "next": None}
    assert (await api.get("/v1/collections/nowhere/documents")).status_code == 404


async def test_a_bad_line_does_not_stop_the_others(api: httpx.AsyncClient) -> None:
    """Receipts come in the order of the lines; each error names its line."""
    good, empty = fresh(), fresh()
    receipts = await lines(
        api,
        {"id": good, "collection": "handbook", "text": "x"},
        b"\n",
        b"nonsense\n",
        {"id": empty, "collection": "handbook", "text": ""},
        {"id": good, "collection": "handbook", "text": "x"},
        b'{"id": "last", "collection": "handbook", "text": "x"}',
    )
    assert [one.outcome for one in receipts] == ["accepted", "rejected", "rejected", "accepted", "accepted"]
    codes = [(one.document_id, one.error.code, one.error.message[:7]) for one in receipts if one.error]
    assert codes == [("", "invalid_request", "line 3:"), (empty, "empty_document", "line 4:")]


async def test_only_lines_are_taken_as_lines(api: httpx.AsyncClient) -> None:
    """A body of another kind is refused with the kind that is wanted; an empty one has no receipts."""
    answer = await api.post(BATCH, json=[{"id": "a"}])
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["detail"]
    assert await lines(api) == []


async def test_a_full_system_lets_the_stream_wait(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Lines wait while there is no room; when there is none for long, each hears when to come back."""
    held = gateway.app.state.gateway
    submit, refusals = held.client.submit_documents, iter([True, True, False])

    def full_for_a_while(documents: Any) -> list[Receipt]:
        if next(refusals, True):
            raise Overloaded("no room", retry_after=0.2)
        found: list[Receipt] = submit(documents)
        return found

    held.client.submit_documents = full_for_a_while
    (receipt,) = await lines(api, {"id": fresh(), "collection": "handbook", "text": "x"})
    assert receipt.outcome == "accepted"
    patience, routes.PATIENCE_SECONDS = routes.PATIENCE_SECONDS, 0.5  # type: ignore[misc]
    try:
        (receipt,) = await lines(api, {"id": fresh(), "collection": "handbook", "text": "x"})
    finally:
        routes.PATIENCE_SECONDS = patience  # type: ignore[misc]
    assert receipt.error is not None
    assert (receipt.error.code, receipt.error.retry_after) == ("overloaded", 0.2)


async def test_a_store_that_is_away_is_told_per_line(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """The stream goes on: what comes later may be taken in again."""
    held = gateway.app.state.gateway

    def away(_documents: Any) -> list[Receipt]:
        raise StoreUnavailable("Elasticsearch does not answer")

    held.client.submit_documents = away
    receipts = await lines(api, *({"id": str(number), "text": "x"} for number in range(3)))
    assert [one.error.code for one in receipts if one.error and one.error.transient] == ["store_unavailable"] * 3
    assert [one.document_id for one in receipts] == ["0", "1", "2"]


async def test_another_collection_is_not_there(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """A key of one collection can neither read nor write in another, nor find out what is there."""
    name = fresh()
    await api.post("/v1/documents", json={"id": name, "collection": "secrets", "text": "the code is 1234"})
    own = gateway.key("ingest", "query", collections=("handbook",))
    async with gateway.caller(own.token) as caller:
        for method, path in (
            ("GET", where(name, "secrets")),
            ("DELETE", where(name, "secrets")),
            ("GET", "/v1/collections/secrets/documents"),
            ("GET", f"/v1/collections/secrets/chunks?document={quote(name)}"),
        ):
            answer = await caller.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_collection"), path
        refused = await caller.post("/v1/documents", json={"id": name, "collection": "secrets", "text": "x"})
        assert refused.status_code == 404
        (receipt,) = await lines(caller, {"id": name, "collection": "secrets", "text": "x"})
        assert receipt.error is not None
        assert receipt.error.code == "unknown_collection"
    seen = gateway.client.document_status(name, collection="secrets")
    assert seen.state is DocumentState.RECEIVED


async def test_receipts_come_over_a_real_connection_while_lines_are_sent(served: Served) -> None:
    """One request: a line is sent, its receipt read, and then the next line is sent."""
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST {BATCH} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/x-ndjson\r\n"
        "Transfer-Encoding: chunked\r\n\r\n".encode()
    )
    async with asyncio.timeout(60.0):
        assert b" 200 " in await _head(reader, writer)
        names = [fresh() for _ in range(3)]
        for name in names:
            await _say(writer, json.dumps({"id": name, "collection": "handbook", "text": "x"}).encode() + b"\n")
            assert Receipt.model_validate_json(await _heard(reader)).document_id == name
        writer.write(b"0\r\n\r\n")
        assert await _heard(reader) == b""
    writer.close()


async def _say(writer: asyncio.StreamWriter, part: bytes) -> None:
    writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    await writer.drain()


async def _head(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def _heard(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    part = await reader.readexactly(size)
    await reader.readline()
    return part
