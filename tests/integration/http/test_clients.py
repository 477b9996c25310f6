"""The one suite of clients: beside the servers, and on the other side of a gateway. What one does, the other does."""

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from second_opinion import AsyncClient, Client
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.gateway.remote import RemoteClient
from second_opinion.schemas.document import AcceptOutcome, DocumentInput, DocumentState
from second_opinion.schemas.errors import (
    DocumentTooLarge,
    EmptyDocument,
    EmptyQuery,
    FilterTypeMismatch,
    InvalidDocument,
    InvalidQuery,
    InvalidRequest,
    MetadataTypeConflict,
    NotEnoughJudgements,
    OpinionError,
    ReindexRefused,
    UnknownCandidate,
    UnknownCollection,
    UnknownDocument,
    UnknownFilterField,
    UnknownJob,
    UnknownReranker,
    UnknownTrace,
    UnsupportedMediaType,
    VersionConflict,
)
from second_opinion.schemas.explanation import Fate
from second_opinion.schemas.floor_choice import FloorGoal
from second_opinion.schemas.job import JobState
from second_opinion.schemas.verdict import Outcome
from tests.acceptance.conftest import wait_until
from tests.conftest import Servers
from tests.integration.http.conftest import Served, serving, system_of

HANDBOOK: list[dict[str, Any]] = [
    {
        "id": "refunds.md",
        "title": "Refunds",
        "text": "A manager approves refunds above one hundred euros. Small refunds need nobody.",
        "metadata": {"year": 2024, "lang": "en"},
    },
    {"id": "dogs.md", "text": "Dogs may visit the office on Fridays.", "metadata": {"year": 2019, "lang": "en"}},
    {"id": "tea.md", "text": "Green tea is in the third drawer.", "metadata": {"lang": "de", "fresh": True}},
]
QUESTION = "who approves refunds?"
ROLES = ("extract", "index", "retrieve", "rerank", "maintenance")
PATIENCE = 120.0


@pytest.fixture(scope="module")
def gateway(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway with workers behind it."""
    with system_of(servers, tmp_path_factory.mktemp("system")) as system, serving(system) as made:
        system.start(*ROLES)
        yield made


@pytest.fixture(scope="module")
def direct(gateway: Served) -> Iterator[Client]:
    """A client beside the servers."""
    with gateway.system.client() as made:
        yield made


@pytest.fixture(scope="module")
def remote(gateway: Served) -> Iterator[RemoteClient]:
    """A client of the gateway."""
    with Client.connect(gateway.url) as made:
        yield made


@pytest.fixture(scope="module", params=["direct", "remote"])
def client(request: pytest.FixtureRequest) -> OpinionClient:
    """Each kind of client."""
    made: OpinionClient = request.getfixturevalue(request.param)
    return made


@pytest_asyncio.fixture(params=["direct", "remote"])
async def awaited(request: pytest.FixtureRequest, gateway: Served) -> AsyncIterator[AsyncClient]:
    """Each kind of client for asyncio."""
    made = AsyncClient(gateway.system.settings) if request.param == "direct" else AsyncClient.connect(gateway.url)
    async with made:
        yield made


@pytest.fixture
def name() -> str:
    """A collection that nobody has used."""
    return f"c{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def handbook(direct: Client) -> str:
    """A collection with three searchable documents; tests leave it as it is."""
    receipts = direct.submit_documents([{**one, "collection": "handbook"} for one in HANDBOOK])
    assert len(direct.wait_documents(receipts, timeout=PATIENCE)) == 3
    return "handbook"


def told(call: Callable[[], object]) -> tuple[type[OpinionError], str, str, bool]:
    """Return how a call fails: the class, the sentence, the hint, and whether it may pass."""
    with pytest.raises(OpinionError) as caught:
        call()
    return type(caught.value), caught.value.message, caught.value.hint, caught.value.transient


def test_a_document_becomes_searchable(client: OpinionClient, name: str) -> None:
    """Sent, waited for, looked at, cut into chunks, listed; sent again it is unchanged."""
    sent = client.submit_document(id="a/b c?.md", collection=name, title="Tea", text="Green tea is in the drawer.")
    assert (sent.outcome, sent.collection, sent.document_id) == (AcceptOutcome.ACCEPTED, name, "a/b c?.md")
    found = client.wait_document("a/b c?.md", collection=name, timeout=PATIENCE)
    assert (found.state, found.searchable, found.target, found.chunks) == (DocumentState.INDEXED, True, sent.target, 1)
    assert client.document_status("a/b c?.md", collection=name) == found
    assert client.document_statuses([(name, "a/b c?.md"), (name, "b")]) == {(name, "a/b c?.md"): found}
    (chunk,) = client.document_chunks("a/b c?.md", collection=name)
    assert chunk.text == "Green tea is in the drawer."
    again = client.submit_document(DocumentInput(id="a/b c?.md", collection=name, title="Tea", text=chunk.text))
    assert (again.outcome, again.target) == (AcceptOutcome.UNCHANGED, sent.target)


def test_documents_are_listed_by_id(client: OpinionClient, handbook: str) -> None:
    """All of them, those behind one, those in one state; what was written this moment may take a second."""
    expected = ["dogs.md", "refunds.md", "tea.md"]
    wait_until(lambda: [one.document_id for one in client.documents(collection=handbook)] == expected, PATIENCE)
    assert [one.document_id for one in client.documents(collection=handbook, after="refunds.md")] == ["tea.md"]
    assert list(client.documents(collection=handbook, state="failed")) == []


def test_bytes_are_extracted(client: OpinionClient, name: str) -> None:
    """A file's bytes go in as they are, and come out as chunks."""
    content = "# Tee\n\nGrüner Tee ist in der dritten Schublade.".encode()
    client.submit_document(id="tee.md", collection=name, content=content, media_type="text/markdown")
    assert client.wait_document("tee.md", collection=name, timeout=PATIENCE).searchable
    assert "Grüner Tee" in client.document_chunks("tee.md", collection=name)[0].text


@pytest.mark.parametrize(
    "document_id", ["..", ".", "a/../b", "/", "ü ☃%2F?#&=+", "👩‍👩‍👧‍👦", " x ", "a" * 512, "ids", "stats"]
)
def test_ids_may_be_anything(client: OpinionClient, name: str, document_id: str) -> None:
    """Whatever an id holds, it names its document and no other."""
    client.submit_document(id=document_id, collection=name, text="Some words.")
    assert client.document_status(document_id, collection=name).document_id == document_id
    deleted = client.delete_document(document_id, collection=name)
    assert (deleted.document_id, deleted.outcome) == (document_id, AcceptOutcome.DELETED)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"id": "x", "text": " "}, EmptyDocument),
        ({"id": "x"}, EmptyDocument),
        ({"text": "no id"}, InvalidDocument),
        ({"id": "", "text": "empty id"}, InvalidDocument),
        ({"id": "x", "text": "t", "colour": "red"}, InvalidDocument),
        ({"id": "x", "text": "t", "collection": "No Such Name"}, InvalidDocument),
        ({"id": "x", "text": "t", "media_type": "video/mp4"}, UnsupportedMediaType),
        ({"id": "x", "text": "t", "metadata": {"a": [1, "b"]}}, MetadataTypeConflict),
        ({"id": "x", "text": "t", "metadata": {"a": float("nan")}}, InvalidDocument),
        ({"id": "x", "text": "t", "metadata": {"a": object()}}, InvalidDocument),
        ({"id": "\ud800", "text": "t"}, InvalidDocument),
        ({"id": "x", "text": "w" * (33 * 1024 * 1024)}, DocumentTooLarge),
    ],
)
def test_both_clients_refuse_documents_in_the_same_words(
    direct: Client, remote: RemoteClient, document: dict[str, Any], kind: type[OpinionError]
) -> None:
    """The same receipt from a list, and the same error by itself."""
    assert direct.submit_documents([document]) == remote.submit_documents([document])
    found = told(lambda: remote.submit_document(document))
    assert found[0] is kind
    assert found == told(lambda: direct.submit_document(document))


def test_a_gateway_takes_smaller_documents_and_says_so(remote: RemoteClient, name: str) -> None:
    """What is above its limit for a line is refused by name, and what stands beside it is taken."""
    documents = [{"id": "large", "text": "word " * 2_100_000}, {"id": "small", "text": "word"}]
    large, small = remote.submit_documents([{**one, "collection": name} for one in documents])
    assert small.outcome is AcceptOutcome.ACCEPTED
    assert large.error is not None
    assert (large.error.code, "10,000,000" in large.error.message) == ("document_too_large", True)


def test_a_bad_document_does_not_stop_the_others(client: OpinionClient, name: str) -> None:
    """Receipts come in the order of the documents."""
    documents: list[dict[str, Any]] = [{"id": str(n), "text": f"number {n}", "collection": name} for n in range(130)]
    documents[7]["text"] = ""
    documents[120]["metadata"] = {"mixed": [True, "no"]}
    receipts = client.submit_documents(documents)
    assert [one.document_id for one in receipts] == [one["id"] for one in documents]
    rejected = {one.document_id: one.error.code for one in receipts if one.error is not None}
    assert rejected == {"7": "empty_document", "120": "metadata_type_conflict"}


def test_versions_and_types_hold(client: OpinionClient, name: str) -> None:
    """An older version is superseded, the same one with other content refused; a field keeps its type."""
    client.submit_document(id="x", collection=name, text="two", source_version=2, metadata={"year": 2024})
    older = client.submit_document(id="x", collection=name, text="one", source_version=1)
    assert older.outcome is AcceptOutcome.SUPERSEDED
    with pytest.raises(VersionConflict):
        client.submit_document(id="x", collection=name, text="other", source_version=2)
    with pytest.raises(MetadataTypeConflict, match="year"):
        client.submit_document(id="y", collection=name, text="y", metadata={"year": "soon"})
    assert client.field_types(name) == {"year": "double"}


def test_what_does_not_exist_is_said_in_the_same_words(direct: Client, remote: RemoteClient, handbook: str) -> None:
    """Documents, collections, jobs and traces."""
    calls: list[tuple[Callable[[OpinionClient], object], type[OpinionError]]] = [
        (lambda one: one.document_status("nobody", collection=handbook), UnknownDocument),
        (lambda one: one.delete_document("nobody", collection=handbook), UnknownDocument),
        (lambda one: one.document_chunks("nobody", collection=handbook), UnknownDocument),
        (lambda one: one.document_chunks("nobody", collection="nowhere"), UnknownCollection),
        (lambda one: list(one.documents(collection="nowhere")), UnknownCollection),
        (lambda one: one.collection("nowhere"), UnknownCollection),
        (lambda one: one.field_types("nowhere"), UnknownCollection),
        (lambda one: one.delete_collection("nowhere"), UnknownCollection),
        (lambda one: one.query("why?", collection="nowhere"), UnknownCollection),
        (lambda one: one.result("01JX4"), UnknownJob),
        (lambda one: one.wait("01JX4", timeout=1.0), UnknownJob),
        (lambda one: one.cancel("01JX4"), UnknownJob),
        (lambda one: one.why("01JX4", "dogs.md"), UnknownJob),
    ]
    for call, kind in calls:
        found = told(lambda call=call: call(remote))  # type: ignore[misc]
        assert found[0] is kind
        assert found == told(lambda call=call: call(direct))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("choices", "kind"),
    [
        ({"text": " "}, EmptyQuery),
        ({"floor": 1.5}, InvalidQuery),
        ({"top_k": 0}, InvalidQuery),
        ({"colour": "red"}, InvalidQuery),
        ({"filters": [{"op": "range", "field": "year"}]}, InvalidQuery),
        ({"filters": [{"op": "term", "field": "nothing", "values": ["x"]}]}, UnknownFilterField),
        ({"filters": [{"op": "term", "field": "year", "values": ["x"]}]}, FilterTypeMismatch),
        ({"reranker": "nobody"}, UnknownReranker),
        ({"job_id": "not an id"}, InvalidQuery),
    ],
)
def test_both_clients_refuse_queries_in_the_same_words(
    direct: Client, remote: RemoteClient, handbook: str, choices: dict[str, Any], kind: type[OpinionError]
) -> None:
    """The same class, sentence and hint."""
    asked = {"text": QUESTION, "collection": handbook, **choices}
    found = told(lambda: remote.submit_query(**asked))
    assert found[0] is kind
    assert found == told(lambda: direct.submit_query(**asked))


def test_a_question_is_answered(client: OpinionClient, handbook: str) -> None:
    """What clears the floor comes back, with every number under its own name."""
    result = client.query(QUESTION, collection=handbook, floor=0.3, top_k=2, timeout=PATIENCE)
    assert (result.outcome, result.floor, result.kept[0].document_id) == (Outcome.ANSWERED, 0.3, "refunds.md")
    assert result.kept[0].text.startswith("A manager approves refunds")
    assert {one.document_id for one in (*result.kept, *result.dropped)} == {"refunds.md", "dogs.md", "tea.md"}


def test_a_question_is_refused(client: OpinionClient, handbook: str) -> None:
    """A refusal is a result."""
    result = client.query("what is the boiling point of tungsten?", collection=handbook, timeout=PATIENCE)
    assert (result.outcome, result.kept) == (Outcome.REFUSED, ())
    assert result.sentence


def test_filters_hold(client: OpinionClient, handbook: str) -> None:
    """As objects and as the types themselves."""
    filters = [{"op": "term", "field": "lang", "values": ["de"]}]
    result = client.query("tea", collection=handbook, filters=filters, floor=0.0, timeout=PATIENCE)
    assert {one.document_id for one in (*result.kept, *result.dropped)} == {"tea.md"}


def test_a_job_can_be_followed(client: OpinionClient, handbook: str) -> None:
    """Submitted, waited for, read again; asked once under one's own name."""
    mine = f"mine-{uuid.uuid4().hex}"
    job = client.submit_query(QUESTION, collection=handbook, job_id=mine)
    again = client.submit_query(QUESTION, collection=handbook, job_id=mine)
    assert (again.job_id, again.submitted_at) == (job.job_id, job.submitted_at)
    ended = client.wait(job.job_id, timeout=PATIENCE)
    assert (ended.state, ended.job_id) == (JobState.DONE, job.job_id)
    assert client.result(job.job_id) == ended
    assert client.cancel(job.job_id) == ended


def test_a_document_can_be_asked_after(client: OpinionClient, handbook: str) -> None:
    """Kept, dropped, or not there."""
    job = client.submit_query(QUESTION, collection=handbook, floor=0.3)
    client.wait(job.job_id, timeout=PATIENCE)
    assert client.why(job.job_id, "refunds.md").fate is Fate.KEPT
    assert client.why(job.job_id, "dogs.md").fate is Fate.BELOW_FLOOR
    assert client.why(job.job_id, "nobody.md").fate is Fate.NOT_INDEXED


def test_collections_have_their_own_choices(client: OpinionClient, name: str) -> None:
    """Made, read, listed, changed as a whole, deleted with what is in it."""
    made = client.set_collection(name, floor=0.7, top_k=3)
    assert (made.overrides.floor, made.overrides.top_k) == (0.7, 3)
    assert client.set_collection(name, top_k=4).overrides.floor is None
    assert client.collection(name).overrides.top_k == 4
    assert client.collection(name) in client.collections()
    with pytest.raises(InvalidRequest):
        client.set_collection(name, top_k=0)
    client.submit_document(id="x", collection=name, text="x y z")
    client.delete_collection(name)
    with pytest.raises(UnknownCollection):
        client.collection(name)


def test_failed_documents_can_be_tried_again_or_given_up(client: OpinionClient, name: str) -> None:
    """With what was sent before; those that are not failed are refused by name."""
    sent = client.submit_document(id="x", collection=name, content=b"\x00\x01\x02\xff" * 50)
    (settled,) = client.wait_documents([sent], timeout=PATIENCE)
    assert settled.status is not None
    assert settled.status.error is not None
    assert (settled.searchable, settled.status.state) == (False, DocumentState.FAILED)
    with pytest.raises(type(OpinionError.from_info(settled.status.error))):
        client.wait_document("x", collection=name, timeout=PATIENCE)
    begun, unknown = client.retry_documents(["x", "nobody"], collection=name)
    assert (begun.outcome, unknown.outcome) == (AcceptOutcome.ACCEPTED, AcceptOutcome.REJECTED)
    (settled,) = client.wait_documents([begun], timeout=PATIENCE)
    assert not settled.searchable
    (purged,) = client.purge_documents(["x"], collection=name)
    assert purged.outcome is AcceptOutcome.DELETED
    assert client.retry_documents([], collection=name) == []


def test_a_collection_can_be_filled_without_what_readers_need(client: OpinionClient, name: str) -> None:
    """A load begins with the context and ends with it."""
    with client.bulk_load(name):
        assert client.collection(name).load is not None
        client.submit_document(id="x", collection=name, text="Some words.")
        client.wait_document("x", collection=name, timeout=PATIENCE)
    assert client.collection(name).load is None


def test_past_queries_can_be_judged(client: OpinionClient, handbook: str) -> None:
    """Trace, texts, judgements, and what they say of a floor."""
    job = client.submit_query(QUESTION, collection=handbook)
    client.wait(job.job_id, timeout=PATIENCE)
    client.query("are dogs allowed?", collection=handbook, timeout=PATIENCE)
    trace = client.evidence.trace(job.job_id)
    assert (trace.job_id, len(trace.candidates)) == (job.job_id, 3)
    assert set(client.evidence.chunks(trace)) == {one.chunk_id for one in trace.candidates}
    judged = client.evidence.judge(job.job_id, "1", relevant=True)
    assert client.evidence.judged(trace) == {judged.chunk_id: judged}
    with pytest.raises(UnknownCandidate):
        client.evidence.judge(job.job_id, "99", relevant=True)
    until = time.monotonic() + 20.0
    while judged not in list(client.evidence.judgements(handbook)):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert judged in list(client.evidence.judgements())
    newest, *_ = page = client.evidence.traces(handbook, limit=2)
    assert len(page) == 2
    older = client.evidence.traces(handbook, before=(newest.at, newest.job_id), limit=1)
    assert older == page[1:]
    report = client.evidence.report(handbook, floors=(0.25, 0.5))
    assert {0.25, 0.5} <= {row.floor for row in report.rows}
    assert client.evidence.replay(0.99, handbook, examples=1).floor == 0.99
    with pytest.raises(NotEnoughJudgements):
        client.evidence.suggest(FloorGoal.PRECISION, 0.9, handbook)
    with pytest.raises(UnknownTrace):
        client.evidence.trace("01JX4KQ6T2")


async def test_documents_can_be_awaited(awaited: AsyncClient, name: str) -> None:
    """The same calls, awaited."""
    async with awaited.bulk_load(name):
        sent = await awaited.submit_document(id="x", collection=name, text="Some words.")
        assert (await awaited.wait_document("x", collection=name, timeout=PATIENCE)).target == sent.target
    for _ in range(300):  # A list may be a second behind.
        listed = [one.document_id for one in await awaited.documents(collection=name)]
        if listed:
            break
        await asyncio.sleep(0.1)
    assert listed == ["x"]
    assert len(await awaited.document_chunks("x", collection=name)) == 1
    await awaited.delete_document("x", collection=name)
    with pytest.raises(UnknownDocument):
        await awaited.delete_document("y", collection=name)
    await awaited.delete_collection(name)


async def test_many_questions_wait_at_once(awaited: AsyncClient, handbook: str) -> None:
    """Forty waiters, more than there are threads, take none."""
    jobs = [await awaited.submit_query(f"{QUESTION} ({n})", collection=handbook) for n in range(40)]
    before = {one.name for one in threading.enumerate() if "opinion-client" in one.name}
    waits = [asyncio.create_task(awaited.wait(job.job_id, timeout=PATIENCE)) for job in jobs]
    await asyncio.sleep(0.1)
    assert {one.name for one in threading.enumerate() if "opinion-client" in one.name} == before
    assert {one.state for one in await asyncio.gather(*waits)} == {JobState.DONE}
    assert (await awaited.query(QUESTION, collection=handbook, timeout=PATIENCE)).outcome in set(Outcome)


def test_a_collection_moves_to_another_index(client: OpinionClient, name: str) -> None:
    """Begun, watched, switched by itself, taken back, switched again, finished."""
    client.submit_document(id="tea", collection=name, text="Green tea is in the drawer.")
    client.wait_document("tea", collection=name, timeout=PATIENCE)
    before = client.collection(name).index
    assert client.reindex_status(name).phase == "none"
    begun = client.reindex(name)
    assert (begun.index, begun.source, begun.documents) == (before, before, 1)
    wait_until(lambda: client.reindex_status(name).phase == "switched", PATIENCE)
    assert client.collection(name).index == begun.target != before
    assert [chunk.text for chunk in client.document_chunks("tea", collection=name)] == ["Green tea is in the drawer."]
    assert client.reindex(name, "rollback").index == before
    assert client.reindex(name, "switch").index == begun.target
    assert client.reindex(name, "finish").phase == "none"
    kind, sentence, hint, transient = told(lambda: client.reindex(name, "rollback"))
    assert (kind, transient) == (ReindexRefused, False)
    assert name in sentence
    assert "opinion reindex" in hint
