"""The remote client when its gateway is away, restarted, wrong about something, or something else altogether."""

import subprocess
import sys
import time

import pytest

from second_opinion import AsyncClient, Client
from second_opinion.gateway.async_client import AsyncClient as DirectAsyncClient
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.gateway.remote import RemoteClient
from second_opinion.gateway.remote.requests import pause_before_retry
from second_opinion.schemas.document import AcceptOutcome, Receipt
from second_opinion.schemas.errors import (
    AccessDenied,
    GatewayUnavailable,
    InternalError,
    InvalidQuery,
    InvalidRequest,
    OpinionError,
    Overloaded,
    StoreUnavailable,
    UnknownJob,
)
from second_opinion.schemas.job import JobState
from tests.unit.gateway.remote.scripted import KEY, ScriptedGateway, Step, good, hang_up, job, problem


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
