"""Every route against everybody who must not use it. The routes are the application's own: a new one is in at once."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from second_opinion import Client
from second_opinion.gateway.http.access import is_public
from second_opinion.gateway.http.app import make_app
from second_opinion.pipeline.ports import no_guard
from second_opinion.schemas.document import document_key
from second_opinion.schemas.messages import RerankCandidates, RunQuery
from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery
from second_opinion.workers.bootstrap import callers, index_parts, rerank_parts, retrieve_parts
from second_opinion.workers.tasks.rerank import rerank_candidates
from second_opinion.workers.tasks.retrieve import run_query
from tests.acceptance.conftest import System
from tests.conftest import Servers
from tests.integration.http.conftest import GatewayRig, gateway_on, system_of
from tests.integration.http.every_route import Call, calls_of

pytestmark = pytest.mark.stack

MINE, THEIRS = "mine", "theirs"
PUBLIC: Final = {"GET /", "GET /favicon.ico", "GET /assets/{name:path}", "GET /healthz", "GET /readyz"}
ANY_KEY: Final = {"GET /v1/about", "GET /openapi.json"}
ANSWER_EACH: Final = {"POST /v1/documents/batch", "POST /v1/documents/statuses"}
"""They answer for each document by itself, so the refusal is in the answer."""
OTHER_SCOPES: Final = {"query": ("ingest",), "ingest": ("query",), "admin": ("query", "ingest")}
WORDS: Final = ("heliotrope", "quokka", "zeppelin", "marmalade")
"""Of the other tenant's document, its title, their question, and the document that failed: nobody sends these."""
REFUSED: Final = {401, 403, 404}


@dataclass(frozen=True)
class World:
    """Two tenants on one system.

    Attributes:
        samples: The other tenant's things, by the names that parameters and fields have.
        calls: Every call of the application.
    """

    system: System
    samples: dict[str, Any]
    calls: list[Call]

    @property
    def closed(self) -> list[Call]:
        """The calls that need a key."""
        return [call for call in self.calls if not is_public(call.path)]


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A document that is searchable, one that failed, and a question with its answer, trace and judgement: theirs."""
    with system_of(servers, tmp_path_factory.mktemp("tenants")) as system, system.client() as client:
        client.set_collection(MINE)
        yield World(system, _fill(client, system), calls_of(make_app(system.settings)))


def _fill(client: Client, system: System) -> dict[str, Any]:
    client.submit_document(
        id="d-1",
        collection=THEIRS,
        title="The quokka rules",
        text="A heliotrope permit is signed by the harbour master.",
    )
    seen = client.parts.stores.documents.get([document_key(THEIRS, "d-1")])
    index_parts(system.settings).indexing.index([one.record.ref for one in seen.values()], no_guard)
    client.wait_document("d-1", collection=THEIRS)
    unreadable = {"id": "marmalade", "collection": THEIRS, "content": "AAAA", "media_type": "application/x-unknown"}
    callers(system.settings).documents.accept([unreadable], record_rejected=True)
    job = client.submit_query("who signs a zeppelin permit?", collection=THEIRS, floor=0.0)
    run_query(RunQuery(job_id=job.job_id), retrieve_parts(system.settings))
    judging = rerank_parts(system.settings)
    rerank_candidates(RerankCandidates(job_id=job.job_id), judging)
    assert judging.traces is not None
    judging.traces.close()
    answered = client.result(job.job_id).result
    assert answered is not None
    chunk = (*answered.kept, *answered.dropped)[0].chunk_id
    client.evidence.judge(job.job_id, chunk, relevant=True)
    webhook = Webhook.make("https://quokka.example/opinion", THEIRS, created_by="local", now=time.time())
    client.parts.webhooks.create(webhook)
    given_up = WebhookDelivery.of(webhook, job.job_id, now=time.time()).model_copy(
        update={"state": DeliveryState.PARKED, "not_before": time.time() + 3_600.0, "error": "a zeppelin answered"}
    )
    client.parts.webhooks.post([given_up])
    return {
        "collection": THEIRS,
        "job": job.job_id,
        "job_id": job.job_id,
        "document": "d-1",
        "document_id": "d-1",
        "id": "d-1",
        "ids": ["d-1"],
        "chunk": chunk,
        "webhook_id": webhook.id,
        "delivery_id": given_up.id,
        "name": "index.html",
        # What else has to be said for a request to be whole.
        "floor": 0.4,
        "goal": "precision",
        "value": 0.9,
    }


def test_what_needs_no_key_is_written_down(world: World) -> None:
    """The page and the probes; whoever adds another says so here."""
    assert {str(call) for call in world.calls if is_public(call.path)} == PUBLIC


def test_everything_else_asks_for_a_scope(world: World) -> None:
    """But for what any key may know."""
    assert {str(call) for call in world.closed if call.scope is None} == ANY_KEY


async def test_strangers_are_turned_away(world: World) -> None:
    """Without a key, with a wrong one, a revoked one and an expired one: 401 from every route, and not a word."""
    async with gateway_on(world.system, gateway_require_keys=True) as gateway:
        revoked = gateway.key("admin")
        gateway.client.parts.api_keys.revoke(revoked.key.id, at=time.time())
        expired = gateway.key("admin", expires_at=time.time() - 1.0)
        wrong = f"so_{revoked.key.id}_{'x' * 43}"
        found = [
            f"{call} answers {answer.status_code} to {who}"
            for who, token in (
                ("nobody", None),
                ("a wrong", wrong),
                ("a revoked", revoked.token),
                ("an expired", expired.token),
            )
            for call, answer in await everywhere(gateway, token, world, world.closed)
            if answer.status_code != 401 or tells(answer)
        ]
    assert found == []


async def test_a_key_without_the_scope_is_turned_away(world: World) -> None:
    """403, wherever a scope is asked for; with every other scope, in every collection."""
    async with gateway_on(world.system, gateway_require_keys=True) as gateway:
        found = []
        for scope, others in OTHER_SCOPES.items():
            token = gateway.key(*others).token
            asked = [call for call in world.closed if call.scope == scope]
            found += [
                f"{call} answers {answer.status_code} to a key with {others}"
                for call, answer in await everywhere(gateway, token, world, asked)
                if answer.status_code != 403 or tells(answer)
            ]
            assert asked
    assert found == []


async def test_another_tenant_sees_and_changes_nothing(world: World) -> None:
    """With every scope, but for other collections: 404 where something of theirs is named, not a word anywhere."""
    before = state_of(world)
    async with gateway_on(world.system, gateway_require_keys=True) as gateway:
        token = gateway.key("admin", collections=(MINE,)).token
        found = []
        for call, answer in await everywhere(gateway, token, world, world.closed):
            named = call.names(world.samples) and str(call) not in ANSWER_EACH
            if tells(answer) or (named and answer.status_code not in REFUSED) or answer.status_code >= 500:
                found.append(f"{call} answers {answer.status_code}: {answer.text[:300]}")
    assert found == []
    assert state_of(world) == before


async def test_the_owner_is_served_by_every_route(world: World) -> None:
    """The same calls with the owner's key work: what the others were refused was there, and would have been told."""
    async with gateway_on(world.system, gateway_require_keys=True) as gateway:
        token = gateway.key("admin", collections=(THEIRS,)).token
        answers = await everywhere(gateway, token, world, world.closed)
    wrong = [f"{call}: {answer.status_code} {answer.text[:300]}" for call, answer in answers if not served(answer)]
    assert wrong == []
    told = {word for _, answer in answers for word in WORDS if word in answer.text}
    assert told == set(WORDS)


async def everywhere(
    gateway: GatewayRig, token: str | None, world: World, made: list[Call]
) -> list[tuple[Call, httpx.Response]]:
    """Make calls one after the other as the holder of a key."""
    async with gateway.caller(token) as caller:
        return [(call, await call.by(caller, world.samples)) for call in made]


def tells(answer: httpx.Response) -> bool:
    """Whether an answer has a word of the other tenant's, in its body or its headers."""
    return any(word in answer.text or word in str(answer.headers) for word in WORDS)


def served(answer: httpx.Response) -> bool:
    """Whether a whole request was taken; that there is too little evidence for an answer is one."""
    return answer.is_success or (answer.status_code == 409 and answer.json()["code"] == "not_enough_judgements")


def state_of(world: World) -> Any:
    """Return all of the other tenant's that a call could change."""
    with world.system.client() as client:
        return (
            client.collection(THEIRS),
            [one.model_dump() for one in client.documents(collection=THEIRS)],
            client.document_chunks("d-1", collection=THEIRS),
            client.result(world.samples["job"]),
            list(client.evidence.judgements(THEIRS)),
            [one for one in client.parts.webhooks.listed() if one.collection == THEIRS],
            client.parts.webhooks.delivery(world.samples["delivery_id"]),
        )
