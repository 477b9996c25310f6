"""Webhooks: who is told when a query ends, and what is still to be told."""

import secrets
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints

from second_opinion.schemas.base import Versioned
from second_opinion.schemas.collection import CollectionName

WebhookEvent = Literal["query.ended"]
WebhookUrl = Annotated[str, StringConstraints(min_length=8, max_length=2_048)]
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
SECRET_BYTES: Final = 32


class Webhook(Versioned):
    """One address that is told of a collection's queries.

    Attributes:
        secret: Signs what is sent; shown to the caller once, kept because signing needs it.
        created_by: The id of the key that made it.
        created_at: Unix seconds.
    """

    id: str
    url: WebhookUrl
    collection: CollectionName
    events: tuple[WebhookEvent, ...] = ("query.ended",)
    secret: str
    created_by: str = ""
    created_at: float

    @classmethod
    def make(cls, url: str, collection: str, *, created_by: str, now: float) -> Self:
        """Return a new webhook with a secret of 32 random bytes."""
        return cls(
            id=secrets.token_hex(8),
            url=url,
            collection=collection,
            secret=f"{SECRET_PREFIX}{secrets.token_urlsafe(SECRET_BYTES)}",
            created_by=created_by,
            created_at=now,
        )


class DeliveryState(StrEnum):
    """Where a delivery is; one that arrived is not kept."""

    WAITING = "waiting"
    PARKED = "parked"


class WebhookDelivery(Versioned):
    """One thing to be told to one address.

    Attributes:
        id: Webhook and job: whoever hears twice can tell by it.
        attempts: How often it was tried.
        not_before: Unix seconds before which nobody tries (again), or, when it is parked, drops it; whoever works on it
            moves it ahead.
        error: Why the last attempt failed.
        body: What is told, as JSON, once an attempt failed: the job's result may be gone before the address is back.
        created_at: Unix seconds.
        retried_at: When somebody asked for another try of what was parked; attempts and time count from then.
    """

    id: str
    webhook_id: str
    job_id: str
    collection: CollectionName
    state: DeliveryState = DeliveryState.WAITING
    attempts: int = Field(default=0, ge=0)
    not_before: float
    error: str = ""
    body: str = ""
    created_at: float
    retried_at: float | None = None

    @classmethod
    def of(cls, webhook: Webhook, job_id: str, *, now: float) -> Self:
        """Return what is to be told of a job that is about to be submitted."""
        return cls(
            id=f"{webhook.id}.{job_id}",
            webhook_id=webhook.id,
            job_id=job_id,
            collection=webhook.collection,
            not_before=now,
            created_at=now,
        )
