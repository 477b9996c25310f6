"""What webhooks are told, how it is signed, where they may lead, and how long they are tried."""

import hashlib
import hmac
import ipaddress
import json

import pytest

from second_opinion.pipeline.webhooks import (
    GIVE_UP_SECONDS,
    KEPT_SECONDS,
    after_failure,
    body_of,
    check_url,
    is_public,
    retried,
    signature,
)
from second_opinion.schemas.errors import InvalidRequest, RerankUnavailable
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery
from second_opinion.testing.builders import a_query, a_result

NOW = 1_700_000_000.0
WEBHOOK = Webhook.make("https://example.com/x", "default", created_by="local", now=NOW)
DELIVERY = WebhookDelivery.of(WEBHOOK, "job-1", now=NOW)


def a_job(**fields: object) -> Job:
    """Return a job that has ended."""
    told = {"job_id": "job-1", "state": "done", "query": a_query(), "submitted_at": NOW, "expires_at": NOW + 60}
    return Job.model_validate({**told, "finished_at": NOW + 1, **fields})


def test_what_is_told_has_no_text_of_a_document_or_question() -> None:
    """How the query ended, and where more is to be had by whoever has a key."""
    told = json.loads(body_of(DELIVERY, a_job(result=a_result())))
    assert (told["type"], told["job_id"], told["state"], told["outcome"]) == ("query.ended", "job-1", "done", "refused")
    assert told["location"] == "/v1/queries/job-1"
    assert "tablets" not in json.dumps(told)
    failed = json.loads(body_of(DELIVERY, a_job(state=JobState.FAILED, error=RerankUnavailable("away").info())))
    assert (failed["state"], failed["outcome"], failed["error"]) == ("failed", None, "rerank_unavailable")


def test_a_receiver_can_check_the_signature() -> None:
    """By the secret alone: the moment is part of what is signed, so an old message cannot be sent as a new one."""
    body = b'{"a":1}'
    moment, digest = (part.split("=", 1)[1] for part in signature(WEBHOOK, body, at=NOW + 0.9).split(","))
    assert moment == "1700000000"
    assert digest == hmac.new(WEBHOOK.secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    other = WEBHOOK.model_copy(update={"secret": "whsec_other"})
    assert signature(other, body, at=NOW) != signature(WEBHOOK, body, at=NOW)


def test_a_failure_is_tried_again_for_a_day() -> None:
    """Pauses grow to an hour; after a day it is parked, with the last error and what was to be told, for a month."""
    delivery, now, pauses = tried_until_parked(DELIVERY, NOW)
    assert pauses[:4] == [5.0, 10.0, 20.0, 40.0]
    assert max(pauses) == 3_600.0
    assert 0.0 <= NOW + GIVE_UP_SECONDS - now < 3_600.0
    assert (delivery.attempts, delivery.error) == (len(pauses) + 1, "the answer was 500")
    assert (delivery.body, delivery.not_before) == ('{"a":1}', now + KEPT_SECONDS)


def test_a_retry_is_tried_for_another_day() -> None:
    """At once, with the pauses of the first time; then it is parked again."""
    parked, now, _ = tried_until_parked(DELIVERY, NOW)
    again = retried(parked, now=now + 1_000.0)
    assert (again.state, again.not_before, again.attempts) == (DeliveryState.WAITING, now + 1_000.0, 0)
    assert (again.id, again.body, again.created_at) == (parked.id, parked.body, parked.created_at)
    over, later, pauses = tried_until_parked(again, now + 1_000.0)
    assert (over.state, pauses[:2]) == (DeliveryState.PARKED, [5.0, 10.0])
    assert 0.0 <= now + 1_000.0 + GIVE_UP_SECONDS - later < 3_600.0


def tried_until_parked(delivery: WebhookDelivery, now: float) -> tuple[WebhookDelivery, float, list[float]]:
    """Return a delivery that every attempt failed for, the moment of the last one, and the pauses before the others."""
    pauses: list[float] = []
    while True:
        delivery = after_failure(delivery, b'{"a":1}', "the answer was 500", now=now)
        if delivery.state is DeliveryState.PARKED:
            return delivery, now, pauses
        pauses.append(delivery.not_before - now)
        now = delivery.not_before


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("64:ff9b::5db8:d822", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("10.0.0.1", False),
        ("172.16.3.4", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - nobody listens
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_the_worlds_addresses_are_public(address: str, public: bool) -> None:
    """An address that hides a private one in itself is private."""
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https://api.localhost:8443/",
        "https://169.254.169.254/latest/meta-data",
        "https://user:secret@example.com/",
        "ftp://example.com/",
        "https:///x",
        "https://[::1",
        "https://example.com:99999/",
        "https://exämple.com/",
        "https://example.com/a b",
        "not an address",
    ],
)
def test_what_is_no_webhooks_address_is_refused(url: str) -> None:
    """With a sentence that names the field."""
    with pytest.raises(InvalidRequest, match=r"^url: ") as refused:
        check_url(url, allow_private=False)
    assert refused.value.hint


def test_an_address_of_ones_own_network_can_be_allowed() -> None:
    """Where the settings say so, and never with a password in it."""
    for url in ("https://example.com/x", "http://127.0.0.1:8080/x"):
        check_url(url, allow_private=True)
    with pytest.raises(InvalidRequest):
        check_url("http://user@127.0.0.1/", allow_private=True)
