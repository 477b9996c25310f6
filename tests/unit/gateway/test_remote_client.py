"""The remote client when its gateway is away, slow, restarted, full, or something else altogether."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from second_opinion import AsyncClient, Client
from second_opinion.gateway.async_client import AsyncClient as DirectAsyncClient
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.gateway.remote import RemoteClient
from second_opinion.gateway.remote.requests import pause_before_retry
from second_opinion.schemas.document import AcceptOutcome, Receipt
from second_opinion.schemas.errors import (
    AccessDenied,
    ErrorInfo,
    GatewayStopping,
    GatewayUnavailable,
    InternalError,
    InvalidQuery,
    InvalidRequest,
    OpinionError,
    Overloaded,
    StoreUnavailable,
    UnknownJob,
)
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import Query
from tests.servers.web import Asked, Exchange, Site

JOB = Job(
    job_id="h1", state=JobState.QUEUED, query=Query(job_id="h1", text="why?", collection="default"),
    submitted_at=1.0, expires_at=61.0,
)  # fmt: skip
KEY = "so_0_a-secret-that-nobody-may-read"
Step = Callable[[Exchange], None]


def problem(status: int, code: str, *, detail: str = "it is so", hint: str = "do this", **more: Any) -> Step:
    """Answer with an error as the gateway tells it."""
    body = {"status": status, "code": code, "detail": detail, "hint": hint, **more}
    seconds = more.get("retry_after")
    headers = {} if seconds is None else {"retry-after": str(seconds)}
    return lambda exchange: exchange.send_json(body, status, {"content-type": "application/problem+json", **headers})


def good(body: Any, status: int = 200) -> Step:
    """Answer with what was asked for."""
    return lambda exchange: exchange.send_json(body, status)


def hang_up(exchange: Exchange) -> None:
    """Break the connection off in the middle of the request."""
    exchange.close_connection = True
    exchange.connection.close()


def job(state: JobState = JobState.DONE) -> Step:
    """Answer with a job."""
    return good(JOB.model_copy(update={"state": state}).model_dump(mode="json"))


class ScriptedGateway(Site):
    """Answers one request after the other as its script says; the last step goes for all that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Step] = []
        self._lock = threading.Lock()

    def answer(self, exchange: Exchange, asked: Asked) -> None:  # noqa: ARG002 - the script decides
        """Do the next step."""
        with self._lock:
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        step(exchange)


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    """A gateway that does what its script says."""
    with ScriptedGateway() as made:
        yield made


@pytest.fixture
def client(gateway: ScriptedGateway) -> Iterator[RemoteClient]:
    """A client of it."""
    with Client.connect(gateway.url, key=KEY) as made:
        yield made


def test_both_clients_have_the_interface(client: RemoteClient) -> None:
    """What the type checker is told holds at run time: every call of the interface is there."""
    interface = {name for name in vars(OpinionClient) if not name.startswith("_")}
    assert interface <= {name for name in dir(client) if not name.startswith("_")}
    assert interface - {"evidence"} <= set(dir(Client))
    assert {name for name in dir(AsyncClient.connect("http://127.0.0.1:9")) if not name.startswith("_")} >= {
        name for name in dir(DirectAsyncClient) if not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "unknown_job", UnknownJob),
        (422, "invalid_query", InvalidQuery),
        (403, "access_denied", AccessDenied),
        (500, "internal_error", InternalError),
    ],
)
def test_errors_come_back_as_the_classes_they_were(
    gateway: ScriptedGateway, client: RemoteClient, status: int, code: str, kind: type[OpinionError]
) -> None:
    """With their sentence and hint; what will fail again is asked once."""
    gateway.script = [problem(status, code)]
    with pytest.raises(kind) as caught:
        client.result("h1")
    assert (type(caught.value), caught.value.message, caught.value.hint) == (kind, "it is so", "do this")
    assert len(gateway.asked) == 1


def test_a_newer_gateways_errors_keep_their_kind(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """A code that is not known here is an error with the same sentence, permanent as it was."""
    gateway.script = [problem(418, "teapot", transient=False)]
    with pytest.raises(OpinionError, match="it is so") as caught:
        client.result("h1")
    assert not caught.value.transient


@pytest.mark.parametrize(
    "first",
    [
        problem(503, "store_unavailable", transient=True),
        problem(503, "gateway_stopping", transient=True, retry_after=0.1),
        hang_up,
        lambda exchange: exchange.send_text("<html>Bad gateway</html>", 502),
    ],
    ids=["store", "stopping", "connection", "proxy"],
)
def test_what_may_pass_is_asked_again(gateway: ScriptedGateway, client: RemoteClient, first: Step) -> None:
    """A question is asked under one key however often it is sent, so that it is asked once."""
    gateway.script = [job(), first, first, job(JobState.QUEUED)]
    client.result("h0")
    assert client.submit_query("why?").job_id == "h1"
    asked = gateway.asked[1:]
    assert [one.path for one in asked] == ["/v1/queries"] * 3
    assert len({one.headers["idempotency-key"] for one in asked}) == 1
    client.submit_query("why?")
    assert gateway.asked[-1].headers["idempotency-key"] != asked[0].headers["idempotency-key"]


def test_the_wish_to_wait_is_granted(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """Retry-After is kept to."""
    gateway.script = [problem(429, "rate_limited", transient=True, retry_after=1), job()]
    began = time.monotonic()
    client.result("h1")
    assert 1.0 <= time.monotonic() - began < 10.0


def test_who_asks_for_too_much_patience_is_not_waited_for(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """The caller hears of it at once, with the time to come back."""
    gateway.script = [problem(503, "overloaded", transient=True, retry_after=600)]
    began = time.monotonic()
    with pytest.raises(Overloaded) as caught:
        client.submit_query("why?")
    assert (caught.value.retry_after, time.monotonic() - began < 5.0) == (600.0, True)


def test_what_may_have_happened_is_not_done_twice(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """A deletion whose connection broke is told, not repeated; one that was turned away is."""
    gateway.script = [job(), hang_up]
    client.result("h1")
    with pytest.raises(GatewayUnavailable, match="broke"):
        client.delete_document("x")
    assert [one.method for one in gateway.asked] == ["GET", "DELETE"]
    deleted = Receipt(collection="default", document_id="x", outcome=AcceptOutcome.DELETED)
    gateway.script = [problem(503, "store_unavailable", transient=True), good(deleted.model_dump(mode="json"))]
    assert client.delete_document("x") == deleted


def test_a_gateway_that_is_not_there_is_said_soon(gateway: ScriptedGateway) -> None:
    """Within seconds, with its address and what to do, and without the key."""
    gateway.script = [job()]
    url = gateway.url
    with Client.connect(url, key=KEY) as client:
        gateway.stop()
        began = time.monotonic()
        with pytest.raises(GatewayUnavailable, match="cannot be reached") as caught:
            client.result("h1")
        assert time.monotonic() - began < 10.0
    assert url in caught.value.message
    assert caught.value.hint
    assert KEY not in repr(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize(
    "answer",
    [good({"hello": "world"}), good([]), lambda exchange: exchange.send_text("<html>", 200)],
    ids=["object", "list", "page"],
)
def test_another_server_is_recognised(gateway: ScriptedGateway, client: RemoteClient, answer: Step) -> None:
    """What answers but is no gateway is not believed, and not asked again."""
    gateway.script = [answer]
    with pytest.raises(InvalidRequest, match="no gateway"):
        client.result("h1")
    assert len(gateway.asked) == 1


def test_a_missing_page_is_no_missing_job(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """A 404 of another server says nothing of jobs."""
    gateway.script = [lambda exchange: exchange.send_text("<html>not here</html>", 404)]
    with pytest.raises(InvalidRequest, match="status 404") as caught:
        client.result("h1")
    assert not isinstance(caught.value, UnknownJob)


@pytest.mark.parametrize(
    "url", ["", "gateway:8100", "ftp://gateway", "http://", "http://user:secret@gateway", "http://[::1"]
)
def test_an_address_is_looked_at_at_once(url: str) -> None:
    """And what is wrong with it is said without the password in it."""
    with pytest.raises(InvalidRequest) as caught:
        Client.connect(url)
    assert "secret" not in caught.value.message + caught.value.hint


def test_a_path_in_front_is_kept(gateway: ScriptedGateway) -> None:
    """A proxy may serve the gateway below a path; the key goes with every request."""
    gateway.script = [job()]
    with Client.connect(f"{gateway.url}/opinion/", key=KEY) as client:
        client.result("h1")
    (asked,) = gateway.asked
    assert (asked.path, asked.headers["authorization"]) == ("/opinion/v1/queries/h1", f"Bearer {KEY}")


def test_a_closed_client_says_so(client: RemoteClient) -> None:
    """It is not an outage."""
    client.close()
    with pytest.raises(InvalidRequest, match="closed"):
        client.result("h1")


def test_waiting_keeps_requests_open(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """The gateway is asked to wait as long as there is time, and asked again until the job has ended."""
    gateway.script = [job(JobState.RETRIEVING), job(JobState.RERANKING), job(JobState.DONE)]
    assert client.wait("h1", timeout=100.0).state is JobState.DONE
    assert [one.headers["prefer"] for one in gateway.asked] == ["wait=30"] * 3


def test_a_later_try_waits_no_longer_than_there_is_time(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """What an outage took is not waited for again."""
    gateway.script = [job(), problem(503, "gateway_stopping", transient=True, retry_after=2), job()]
    client.result("h1")
    client.wait("h1", timeout=10.5)
    first, second = (int(one.headers["prefer"].removeprefix("wait=")) for one in gateway.asked[1:])
    assert (first, second <= 8) == (10, True)


def test_waiting_ends_when_the_time_is_over(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """The job comes back as it is, also within the last second, in which nobody keeps a request open."""
    gateway.script = [job(JobState.RERANKING)]
    began = time.monotonic()
    assert client.wait("h1", timeout=0.5).state is JobState.RERANKING
    assert 0.4 < time.monotonic() - began < 5.0
    assert 2 <= len(gateway.asked) <= 8


def test_waiting_outlasts_an_outage_as_long_as_there_is_time(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """A wait has its own time; when that is over the outage is told."""
    away = problem(503, "gateway_stopping", retry_after=0.3)
    gateway.script = [job(), away]
    client.result("h1")
    began = time.monotonic()
    with pytest.raises(GatewayStopping):
        client.wait("h1", timeout=2.0)
    assert 1.0 < time.monotonic() - began < 10.0
    assert len(gateway.asked) > 3


async def test_waiting_works_for_asyncio(gateway: ScriptedGateway) -> None:
    """Without a thread, with the same tries."""
    gateway.script = [hang_up, job(JobState.RERANKING), problem(503, "gateway_stopping", retry_after=0.1), job()]
    async with AsyncClient.connect(gateway.url) as client:
        assert (await client.wait("h1", timeout=20.0)).state is JobState.DONE
        assert len(gateway.asked) == 4
        gateway.script = [problem(404, "unknown_job")]
        with pytest.raises(UnknownJob):
            await client.wait("h1", timeout=20.0)
    with pytest.raises(InvalidRequest, match="closed"):
        await client.wait("h1")


def lines(*receipts: Receipt) -> Step:
    """Answer with receipts as lines."""
    text = "".join(f"{one.model_dump_json()}\n" for one in receipts)
    return lambda exchange: exchange.send_text(text, 200, {"content-type": "application/x-ndjson"})


def receipt(name: str, error: OpinionError | None = None) -> Receipt:
    """A receipt as the gateway writes it into a stream, where an error names the line."""
    info = None if error is None else error.info().model_copy(update={"message": f"line 1: {error.message}"})
    outcome = AcceptOutcome.ACCEPTED if error is None else AcceptOutcome.REJECTED
    return Receipt(collection="default", document_id=name, outcome=outcome, error=info)


def test_documents_that_found_no_room_are_sent_again(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """Only they, once the caller has waited; without a word from the caller it is an error."""
    full = Overloaded("no room", retry_after=0.01)
    documents = [{"id": name, "text": name} for name in ("a", "b")]
    gateway.script = [lines(receipt("a"), receipt("b", full)), lines(receipt("b"))]
    waited: list[Overloaded] = []
    found = list(client.stream_documents(documents, overloaded=waited.append))
    assert [(one.document_id, one.outcome) for one in found] == [("a", "accepted"), ("b", "accepted")]
    assert [one.retry_after for one in waited] == [0.01]
    assert len(gateway.asked) == 2
    gateway.script = [lines(receipt("a"), receipt("b", full))]
    with pytest.raises(Overloaded):
        client.submit_documents(documents)


def test_a_store_that_is_away_is_an_error_and_no_rejection(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """Nobody takes documents for refused that may be sent again."""
    gateway.script = [lines(receipt("a", StoreUnavailable("away")))]
    with pytest.raises(StoreUnavailable):
        client.submit_documents([{"id": "a", "text": "a"}])
    gateway.script = [lines()]
    with pytest.raises(GatewayUnavailable, match="0 receipts for 1"):
        client.submit_documents([{"id": "a", "text": "a"}])


def test_a_line_of_the_stream_is_not_told(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """The number of a line means nothing to who sent documents."""
    gateway.script = [lines(receipt("a", InvalidRequest("it is wrong")))]
    (found,) = client.submit_documents([{"id": "a", "text": "a"}])
    assert found.error == ErrorInfo(code="invalid_request", message="it is wrong", hint=InvalidRequest("").hint)


@pytest.mark.parametrize(
    ("attempt", "problem", "left", "pause"),
    [
        (1, StoreUnavailable("x"), 10.0, 0.2),
        (3, StoreUnavailable("x"), 10.0, 0.8),
        (9, StoreUnavailable("x"), 10.0, 2.0),
        (1, StoreUnavailable("x", retry_after=5.0), 10.0, 5.0),
        (9, StoreUnavailable("x", retry_after=0.0), 10.0, 2.0),
        (1, StoreUnavailable("x", retry_after=11.0), 10.0, None),
        (1, StoreUnavailable("x"), 0.1, None),
        (1, InvalidRequest("x"), 10.0, None),
    ],
)
def test_pauses(attempt: int, problem: OpinionError, left: float, pause: float | None) -> None:
    """Longer with each try, never shorter than asked for, and only while there is time."""
    assert pause_before_retry(attempt, problem, left) == pause


def test_no_driver_of_a_server_is_loaded() -> None:
    """A machine that reaches only the gateway needs none of them."""
    script = (
        "import sys, second_opinion.gateway.remote\n"
        "import second_opinion.gateway.cli.ingest, second_opinion.gateway.cli.query\n"
        "print([name for name in ('elasticsearch', 'redis', 'celery', 'onnxruntime', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
