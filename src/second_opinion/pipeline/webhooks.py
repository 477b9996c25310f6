"""What webhooks are told, how it is signed, and when it is tried again."""

import hashlib
import hmac
import ipaddress
import json
from typing import Final
from urllib.parse import urlsplit

from second_opinion.schemas.errors import InvalidRequest
from second_opinion.schemas.job import Job
from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery

FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 3_600.0
GIVE_UP_SECONDS: Final = 86_400.0
"""How long after it was first due, or retried, something is tried; then it is parked."""
KEPT_SECONDS: Final = 30 * 86_400.0
"""How long it can be retried then; after that it is dropped."""
ERROR_LENGTH: Final = 300
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def body_of(delivery: WebhookDelivery, job: Job) -> bytes:
    """Return what is told of a job that has ended: how, and where more is to be had; no text of any document."""
    result = job.result
    told = {
        "type": "query.ended",
        "delivery": delivery.id,
        "collection": delivery.collection,
        "job_id": job.job_id,
        "state": job.state.value,
        "submitted_at": job.submitted_at,
        "finished_at": job.finished_at,
        "outcome": None if result is None else result.outcome.value,
        "kept": None if result is None else len(result.kept),
        "error": None if job.error is None else job.error.code,
        "location": f"/v1/queries/{job.job_id}",
    }
    return json.dumps(told, separators=(",", ":")).encode()


def signature(webhook: Webhook, body: bytes, *, at: float) -> str:
    """Return the value of `Webhook-Signature`: a moment, and the HMAC-SHA256 of moment and body."""
    moment = str(int(at))
    digest = hmac.new(webhook.secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"t={moment},v1={digest.hexdigest()}"


def after_failure(delivery: WebhookDelivery, body: bytes, error: str, *, now: float) -> WebhookDelivery:
    """Return a delivery as it is after an attempt to tell `body` failed: due later, or parked when a day is over."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**delivery.attempts)
    since = delivery.created_at if delivery.retried_at is None else delivery.retried_at
    over = now + pause > since + GIVE_UP_SECONDS
    return delivery.model_copy(
        update={
            "attempts": delivery.attempts + 1,
            "error": error[:ERROR_LENGTH],
            "body": body.decode(),
            "not_before": now + (KEPT_SECONDS if over else pause),
            "state": DeliveryState.PARKED if over else DeliveryState.WAITING,
        }
    )


def retried(delivery: WebhookDelivery, *, now: float) -> WebhookDelivery:
    """Return a parked delivery as it is when it is tried again: due at once, and for a day from now."""
    anew = {"state": DeliveryState.WAITING, "attempts": 0, "not_before": now, "retried_at": now}
    return delivery.model_copy(update=anew)


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuse what can be seen to be no webhook's address; where a name leads is checked at each connection.

    Raises:
        InvalidRequest: If it cannot be called.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or not url.isascii() or any(character <= " " for character in url):
        raise InvalidRequest(f"url: {url[:80]!r} is no address", hint="For example: https://example.com/opinion")
    if parts.scheme not in ({"https", "http"} if allow_private else {"https"}):
        raise InvalidRequest("url: a webhook is called by https", hint="Give an address that begins with https://")
    if parts.username is not None:
        raise InvalidRequest("url: no user and password", hint="Check the Webhook-Signature instead.")
    if not allow_private and (host == "localhost" or host.endswith(".localhost") or not _may_be_public(host)):
        raise InvalidRequest(
            "url: that address is not public", hint="To allow private ones: OPINION_WEBHOOK_ALLOW_PRIVATE=true"
        )


def _may_be_public(host: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(host))
    except ValueError:
        return True  # A name; where it leads is seen when it is called.


def is_public(address: Address) -> bool:
    """Return whether an address is the world's: not of this machine, a private network, the link, or a group.

    An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4, Teredo) counts as what it leads to.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inside: list[Address] = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
        inside += list(address.teredo or ())
        if address in _NAT64:
            inside.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if inside:
            return all(map(is_public, inside))
    return address.is_global and not address.is_multicast and not address.is_reserved
