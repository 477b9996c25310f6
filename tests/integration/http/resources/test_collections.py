"""Collections and dead letters over HTTP."""

import uuid
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from second_opinion.pipeline.ports import Swap
from second_opinion.schemas.document import DocumentState, document_key
from second_opinion.schemas.errors import NoTextFound
from tests.acceptance.conftest import wait_until
from tests.integration.http.conftest import GatewayRig

pytestmark = pytest.mark.stack


async def get(api: httpx.AsyncClient, path: str, status: int = 200, **parameters: Any) -> Any:
    """Return what a resource answers."""
    answer = await api.get(path, params=parameters)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_collection_is_made_changed_and_deleted(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Choices are replaced whole, 0.0 is a floor like any other, and after the end it is unknown."""
    name = f"c{uuid.uuid4().hex[:8]}"
    await get(api, f"/v1/collections/{name}", 404)
    made = await api.put(f"/v1/collections/{name}", json={"floor": 0.0, "top_k": 5})
    assert (made.status_code, made.json()["overrides"]["floor"]) == (200, 0.0)
    changed = await api.put(f"/v1/collections/{name}", json={"floor": 0.6})
    assert (changed.json()["overrides"]["floor"], changed.json()["overrides"]["top_k"]) == (0.6, None)
    assert await get(api, f"/v1/collections/{name}") == changed.json()
    assert name in {one["name"] for one in (await get(api, "/v1/collections"))["collections"]}
    stats = await get(api, f"/v1/collections/{name}/stats")
    assert (stats["documents"], stats["chunks"], stats["choices"]["floor"]) == ({}, 0, 0.6)
    wrong = await api.put(f"/v1/collections/{name}", json={"floor": 2})
    assert wrong.status_code == 422
    gone = await api.delete(f"/v1/collections/{name}")
    assert (gone.status_code, gone.content) == (204, b"")
    await get(api, f"/v1/collections/{name}/stats", 404)
    assert (await api.delete(f"/v1/collections/{name}")).status_code == 404


async def test_stats_count_documents_by_state(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """What was sent is counted where it stands, with the fields that can be filtered on."""
    name = f"c{uuid.uuid4().hex[:8]}"
    for number in range(3):
        body = {"id": f"d{number}", "collection": name, "text": "x", "metadata": {"year": 2024}}
        assert (await api.post("/v1/documents", json=body)).status_code == 202
    fail(gateway, name, "d0")
    counts = gateway.client.parts.stores.documents.counts
    wait_until(lambda: sum(counts(name).values()) == 3 and DocumentState.FAILED in counts(name), 20.0)
    stats = await get(api, f"/v1/collections/{name}/stats")
    assert (stats["documents"], stats["failed"]) == ({"received": 2, "failed": 1}, 1)
    assert stats["fields"] == {"year": "double"}
    assert stats["calibration"] is None
    await api.delete(f"/v1/collections/{name}")


def fail(gateway: GatewayRig, collection: str, *ids: str) -> None:
    """Let documents fail, as a worker does that cannot read them."""
    store = gateway.client.parts.stores.documents
    error = NoTextFound("the file was read but holds no text", hint="Run OCR, then retry.").info()
    seen = store.get([document_key(collection, one) for one in ids])
    failed = [one.record.model_copy(update={"state": DocumentState.FAILED, "error": error}) for one in seen.values()]
    assert all(store.swap([Swap(record, one) for record, one in zip(failed, seen.values(), strict=True)]))


async def test_dead_letters_are_listed_tried_again_and_given_up(gateway: GatewayRig, api: httpx.AsyncClient) -> None:
    """Each has its reason; a retry begins anew with what was sent before; what is given up is deleted."""
    run = uuid.uuid4().hex[:8]
    ids = [f"{run}/scan {number}.txt" for number in range(3)]
    for one in ids:
        await api.post("/v1/documents", json={"id": one, "collection": "handbook", "text": "x"})
    fail(gateway, "handbook", *ids)
    letters = "/v1/collections/handbook/dead-letters"
    reader = gateway.client.parts.stores.documents
    wait_until(
        lambda: (
            len(reader.listed("handbook", state="failed", after=f"{run}/", limit=3)) == 3
            and reader.listed("handbook", state="failed", after=f"{run}/", limit=3)[2].document_id == ids[2]
        ),
        20.0,
    )
    page = await get(api, letters, after=f"{run}/", limit=2)
    assert [one["document_id"] for one in page["documents"]] == ids[:2]
    assert (page["documents"][0]["error"]["code"], page["next"]) == ("no_text_found", ids[1])
    again = await api.post(f"{letters}/retry", json={"ids": [ids[0], ids[0], "nobody"]})
    receipts = again.json()["receipts"]
    assert [(one["document_id"], one["outcome"]) for one in receipts] == [(ids[0], "accepted"), ("nobody", "rejected")]
    assert receipts[1]["error"]["code"] == "unknown_document"
    where = f"/v1/collections/handbook/documents/{quote(ids[0], safe='')}"
    assert (await get(api, where))["state"] == "received"
    purged = await api.post(f"{letters}/purge", json={"ids": [ids[1]]})
    assert [one["outcome"] for one in purged.json()["receipts"]] == ["deleted"]
    assert (await api.post(f"{letters}/retry", json={"ids": []})).status_code == 422


async def test_a_key_keeps_to_its_collections_and_scopes(gateway: GatewayRig) -> None:
    """Others are not there, not even in the list; choices are for admins, retries for those who may send."""
    own = gateway.key("query", collections=("handbook",))
    async with gateway.caller(own.token) as caller:
        assert [one["name"] for one in (await get(caller, "/v1/collections"))["collections"]] == ["handbook"]
        for path in ("", "/stats", "/dead-letters"):
            assert (await get(caller, f"/v1/collections/secrets{path}", 404))["code"] == "unknown_collection"
        assert (await caller.put("/v1/collections/handbook", json={})).status_code == 403
        assert (await caller.delete("/v1/collections/handbook")).status_code == 403
        retry = await caller.post("/v1/collections/handbook/dead-letters/retry", json={"ids": ["x"]})
        assert retry.status_code == 403
    admin = gateway.key("admin", collections=("handbook",))
    async with gateway.caller(admin.token) as caller:
        assert (await caller.delete("/v1/collections/secrets")).status_code == 404
        purge = await caller.post("/v1/collections/secrets/dead-letters/purge", json={"ids": ["x"]})
        assert purge.status_code == 404
