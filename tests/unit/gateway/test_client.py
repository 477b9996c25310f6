"""The Python client, on a whole system in memory."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import second_opinion
from second_opinion.gateway.async_client import AsyncClient
from second_opinion.gateway.batching import batched
from second_opinion.gateway.client import Client
from second_opinion.gateway.watching import FEW, DocumentWatch
from second_opinion.schemas.document import AcceptOutcome, DocumentInput, DocumentState
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    EmptyDocument,
    InvalidDocument,
    InvalidQuery,
    InvalidRequest,
    JobCancelled,
    UnknownCollection,
    UnknownDocument,
    UnknownJob,
)
from second_opinion.schemas.job import JobState
from second_opinion.schemas.verdict import Outcome
from tests.unit.gateway.conftest import MemorySystem


def test_the_package_offers_its_clients() -> None:
    """`from second_opinion import Client, AsyncClient` gives the clients; other names are an error."""
    assert second_opinion.Client is Client
    assert second_opinion.AsyncClient is AsyncClient
    with pytest.raises(AttributeError, match="Clint"):
        second_opinion.Clint  # noqa: B018 - the lookup is the test


def test_both_clients_have_the_same_calls() -> None:
    """What the client can do, the asyncio client can do, with the same parameters."""

    def calls(client: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")
        }

    sync, asynchronous = calls(Client), calls(AsyncClient)
    # A generator that sends as it is read, what listings read page by page, and a callback belong to threads.
    del sync["stream_documents"], sync["document_statuses"], sync["documents_page"]
    sync["wait_documents"].remove("settled")
    assert asynchronous == sync


async def test_a_bulk_load_ends_with_its_context(system: MemorySystem) -> None:
    """Also when the body fails, for threads and for asyncio."""

    def is_loading() -> bool:
        return system.client.collection("archive").load is not None

    client = AsyncClient(parts=system.parts)

    async def fail() -> None:
        async with client.bulk_load("archive"):
            assert is_loading()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not is_loading()
    with system.client.bulk_load("archive"):
        assert is_loading()
    assert not is_loading()
    await client.close()


def test_receipts_come_in_order_and_rejects_stop_nothing(system: MemorySystem) -> None:
    """Each document has a receipt in its place; a bad one is rejected with its reason."""
    sent: list[Any] = [
        {"id": "a", "text": "first"},
        {"id": "b", "text": " "},
        DocumentInput(id="c", text="third"),
        {"text": "no id"},
        {"id": "a", "text": "first"},
    ]
    receipts = system.client.submit_documents(sent)
    outcomes = [receipt.outcome for receipt in receipts]
    assert outcomes[:4] == [
        AcceptOutcome.ACCEPTED,
        AcceptOutcome.REJECTED,
        AcceptOutcome.ACCEPTED,
        AcceptOutcome.REJECTED,
    ]
    assert outcomes[4] is not AcceptOutcome.REJECTED
    assert [receipt.document_id for receipt in receipts][:3] == ["a", "b", "c"]
    assert receipts[1].error is not None
    assert receipts[1].error.code == "empty_document"


def test_one_rejected_document_is_raised(system: MemorySystem) -> None:
    """A single document that cannot be accepted is an error of its kind."""
    with pytest.raises(EmptyDocument):
        system.client.submit_document(id="a", text="")
    with pytest.raises(InvalidDocument, match="unknown field"):
        system.client.submit_document(id="a", txt="words")
    with pytest.raises(UnknownDocument):
        system.client.document_status("a")


def test_bytes_are_extracted(system: MemorySystem) -> None:
    """Raw bytes are taken as they are, and their text becomes searchable."""
    system.client.submit_document(id="bytes", content="Grüße aus dem Hafen".encode())
    (chunk,) = system.client.document_chunks("bytes")
    assert chunk.text == "Grüße aus dem Hafen"


def test_streaming_reads_no_further_than_it_must(system: MemorySystem) -> None:
    """A stream of documents is sent while its receipts are read, a batch at a time."""
    taken = 0

    def documents() -> Iterator[dict[str, str]]:
        nonlocal taken
        for number in range(1_000):
            taken += 1
            yield {"id": str(number), "text": "words"}

    receipts = system.client.stream_documents(documents())
    assert taken == 0
    next(receipts)
    assert taken < 200
    assert sum(1 for _ in receipts) == 999


@given(st.lists(st.integers(min_value=0, max_value=50)), st.integers(1, 7), st.integers(1, 60))
def test_batches_keep_order_and_bounds(sizes: list[int], most: int, most_bytes: int) -> None:
    """Batches hold every item once, in order, within both bounds; only one too large stands alone above them."""
    batches = list(batched(sizes, lambda size: size, most=most, most_bytes=most_bytes))
    assert [size for batch in batches for size in batch] == sizes
    assert all(len(batch) <= most for batch in batches)
    assert all(sum(batch) <= most_bytes or len(batch) == 1 for batch in batches)


def test_waiting_for_a_document(system: MemorySystem) -> None:
    """An indexed document is returned at once; one that is not in time, or that nobody knows, is an error."""
    system.client.submit_document(id="a", text="words")
    assert system.client.wait_document("a", timeout=0).current
    system.queue.stopped = True
    system.client.submit_document(id="b", text="words")
    with pytest.raises(DeadlineExceeded):
        system.client.wait_document("b", timeout=0)
    with pytest.raises(UnknownDocument):
        system.client.wait_document("c", timeout=0)


def test_waiting_for_many_tells_each_as_it_settles(system: MemorySystem) -> None:
    """Those that settle are told one by one; those still under way are missing."""
    done = system.client.submit_documents([{"id": str(number), "text": "words"} for number in range(5)])
    system.queue.stopped = True
    waiting = system.client.submit_documents([{"id": "late", "text": "words"}])
    heard: list[str] = []
    settled = system.client.wait_documents(
        [*done, *waiting], timeout=0, settled=lambda one: heard.append(one.receipt.document_id)
    )
    assert heard == [one.receipt.document_id for one in settled] == ["0", "1", "2", "3", "4"]
    assert all(one.searchable for one in settled)


def test_a_watch_asks_for_a_window_only(system: MemorySystem) -> None:
    """However many documents are under way, each look asks for a bounded number and comes round to all."""
    asked: list[int] = []

    def statuses(names: Any) -> Any:
        asked.append(len(names))
        return system.client.document_statuses(names)

    watch = DocumentWatch(statuses, window=10)
    system.queue.stopped = True
    watch.add(system.client.submit_documents([{"id": str(number), "text": "words"} for number in range(25)]))
    assert [len(watch.poll()) for _ in range(3)] == [0, 0, 0]
    system.work()
    assert sum(len(watch.poll()) for _ in range(3)) == 25
    assert max(asked) == 10
    assert watch.pending == 0


def test_a_watch_asks_for_few_while_few_settle(system: MemorySystem) -> None:
    """Documents that settle by fours are seen to, each soon and in their order, without all of them being asked for."""
    asked: list[int] = []
    done = 0

    def statuses(names: Any) -> Any:
        asked.append(len(names))
        known = system.client.document_statuses(names)
        received = {"state": DocumentState.RECEIVED}
        return {name: one if int(name[1]) < done else one.model_copy(update=received) for name, one in known.items()}

    watch = DocumentWatch(statuses)
    watch.add(system.client.submit_documents([{"id": str(number), "text": "words"} for number in range(400)]))
    found: list[str] = []
    for _ in range(100):
        done += 4
        found += [one.receipt.document_id for one in watch.poll()]
    assert found == [str(number) for number in range(400)]
    assert sum(asked) <= 100 * FEW
    assert watch.pending == 0


def test_what_hangs_hides_nothing(system: MemorySystem) -> None:
    """All others are noticed while the oldest do not settle; and these are looked at every time."""
    hanging = {str(number) for number in range(2 * FEW)}

    def statuses(names: Any) -> Any:
        known = system.client.document_statuses(names)
        received = {"state": DocumentState.RECEIVED}
        return {name: one.model_copy(update=received) if name[1] in hanging else one for name, one in known.items()}

    watch = DocumentWatch(statuses)
    watch.add(system.client.submit_documents([{"id": str(number), "text": "words"} for number in range(1_000)]))
    assert sum(len(watch.poll()) for _ in range(60)) == 1_000 - len(hanging)
    assert watch.pending == len(hanging)
    assert not watch.hurries
    hanging.clear()
    assert sum(len(watch.poll()) for _ in range(2)) == 2 * FEW


def test_a_newer_version_settles_the_older_one(system: MemorySystem) -> None:
    """A version that was overtaken is not waited for."""
    system.queue.stopped = True
    first = system.client.submit_document(id="a", text="one")
    system.client.submit_document(id="a", text="two")
    (settled,) = system.client.wait_documents([first], timeout=0)
    assert settled.status is not None
    assert settled.status.state is DocumentState.RECEIVED


def test_query_and_refusal(handbook: MemorySystem) -> None:
    """An answer and a refusal are both results."""
    answered = handbook.client.query(
        "manager approves refunds", filters=[{"op": "term", "field": "lang", "values": ["en"]}]
    )
    assert (answered.outcome, answered.kept[0].document_id) == (Outcome.ANSWERED, "refunds.md")
    assert handbook.client.query("xylophones").outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"text": " "}, InvalidQuery),
        ({"text": "x", "floor": 2.0}, InvalidQuery),
        ({"text": "x", "flor": 0.2}, InvalidQuery),
        ({"text": "x", "filters": [{"op": "range", "field": "year"}]}, InvalidQuery),
        ({"text": "x", "collection": "nowhere"}, UnknownCollection),
    ],
)
def test_bad_queries_are_typed(handbook: MemorySystem, options: dict[str, Any], error: type[Exception]) -> None:
    """A query that cannot be run is refused before it becomes a job."""
    with pytest.raises(error):
        handbook.client.submit_query(**options)
    assert not handbook.queue.retrievals


def test_a_query_that_failed_raises_its_error(handbook: MemorySystem) -> None:
    """Cancelled jobs and unknown ids are errors of their kind, also for whoever waits."""
    handbook.queue.stopped = True
    job = handbook.client.submit_query("manager", job_id="mine")
    assert handbook.client.submit_query("manager", job_id="mine").job_id == "mine"
    assert handbook.client.cancel("mine").state is JobState.CANCELLED
    with pytest.raises(JobCancelled):
        handbook.client.query("manager", job_id=job.job_id)
    with pytest.raises(UnknownJob):
        handbook.client.result("nobody")
    with pytest.raises(InvalidRequest, match="no result"):
        handbook.client.why("mine", "refunds.md")


def test_collection_choices(handbook: MemorySystem) -> None:
    """A collection's choices hold for queries that make none; a query's own come first."""
    handbook.client.set_collection("default", floor=0.95)
    assert handbook.client.query("who approves manager").floor == 0.95
    assert handbook.client.query("who approves manager", floor=0.0).floor == 0.0
    with pytest.raises(InvalidRequest):
        handbook.client.set_collection("default", flor=0.1)


def test_failed_documents_are_tried_again(system: MemorySystem) -> None:
    """A failed document is begun anew with what was sent; one that is well is left alone; readers see it afterwards."""
    system.queue.stopped = True
    system.client.submit_documents([{"id": "bad", "content": b"\xff\xfe\x00"}, {"id": "good", "text": "words"}])
    system.work()
    assert system.client.document_status("bad").state is DocumentState.FAILED
    before = system.client.document_status("bad").target
    receipts = system.client.retry_documents(["bad", "good", "never"])
    assert [receipt.outcome for receipt in receipts] == [
        AcceptOutcome.ACCEPTED,
        AcceptOutcome.UNCHANGED,
        AcceptOutcome.REJECTED,
    ]
    status = system.client.document_status("bad")
    assert (status.state, status.error) == (DocumentState.RECEIVED, None)
    assert status.target != before
    system.work()
    assert system.client.document_status("bad").state is DocumentState.FAILED


async def test_the_asyncio_client(handbook: MemorySystem) -> None:
    """Documents, queries and waiting work the same, many at once."""
    async with AsyncClient(parts=handbook.parts) as client:
        receipts = await client.submit_documents(
            [{"id": str(number), "text": f"locker {number}"} for number in range(20)]
        )
        assert len(await client.wait_documents(receipts)) == 20
        results = await asyncio.gather(*(client.query(f"locker {number}") for number in range(20)))
        assert [result.kept[0].document_id for result in results] == [str(number) for number in range(20)]
        handbook.queue.stopped = True
        job = await client.submit_query("locker")
        waiting = asyncio.create_task(client.wait(job.job_id, timeout=10))
        await client.cancel(job.job_id)
        assert (await waiting).state is JobState.CANCELLED
        assert (await client.why(results[0].job_id, "1")).document_id == "1"


async def test_a_query_that_nobody_waits_for_is_cancelled(handbook: MemorySystem) -> None:
    """A task that is cancelled takes its job with it; a job with an id of the caller's own may have others waiting."""
    handbook.queue.stopped = True
    client = AsyncClient(parts=handbook.parts)
    for own_id, state in (("shared", JobState.QUEUED), (None, JobState.CANCELLED)):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.query("where is tea", job_id=own_id), 0.2)
        job_id = handbook.queue.retrievals.pop()
        async with asyncio.timeout(10):
            while handbook.client.result(job_id).state is not state:  # noqa: ASYNC110 - a thread makes it true
                await asyncio.sleep(0.01)
    assert handbook.client.result("shared").state is JobState.QUEUED
    await client.close()
