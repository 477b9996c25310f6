"""The remote client when it sends documents: receipts as lines, no room, a store that is away."""

import pytest

from second_opinion.gateway.remote import RemoteClient
from second_opinion.schemas.document import AcceptOutcome, Receipt
from second_opinion.schemas.errors import (
    ErrorInfo,
    GatewayUnavailable,
    InvalidRequest,
    OpinionError,
    Overloaded,
    StoreUnavailable,
)
from tests.unit.gateway.remote.scripted import ScriptedGateway, Step


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
