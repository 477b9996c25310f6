"""Webhooks: addresses that are told, signed, when a query of their collection ends."""

from typing import Annotated, Final

from fastapi import APIRouter, Body, Depends, Path, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from pydantic import BaseModel, Field, StringConstraints

from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import AT, COLLECTION, JOB_ID, said, shown
from second_opinion.gateway.http.preferences import answer
from second_opinion.gateway.http.problems import answers
from second_opinion.gateway.http.webhooks import webhook_desk
from second_opinion.pipeline.webhooks import check_url
from second_opinion.schemas.base import Request
from second_opinion.schemas.collection import CollectionName
from second_opinion.schemas.errors import InvalidRequest, UnknownWebhook
from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery, WebhookEvent, WebhookUrl

CREATED: Final = 201
NO_CONTENT: Final = 204
MOST: Final = 10
LARGEST_PAGE: Final = 500

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

Held = Annotated[Gateway, Depends(gateway_held)]
Asker = Annotated[Principal, Depends(require("query"))]
WebhookPath = Annotated[str, Path(description="The webhook's id.", examples=["5f0c2a1b9d3e4f60"])]
DeliveryPath = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}$")],
    Path(description="The delivery's id.", examples=[f"5f0c2a1b9d3e4f60.{JOB_ID}"]),
]


class WebhookInput(Request):
    """An address to be told."""

    url: WebhookUrl
    collection: CollectionName
    events: list[WebhookEvent] = Field(default=["query.ended"], min_length=1, max_length=1)


class WebhookView(BaseModel):
    """A webhook without its secret."""

    id: str
    url: str
    collection: str
    events: list[WebhookEvent]
    created_by: str
    created_at: float

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookView":
        """Return what is shown of a webhook."""
        return cls.model_validate(webhook.model_dump(exclude={"secret", "schema_version"}))


class NewWebhookView(BaseModel):
    """A new webhook with its secret, which is not shown again."""

    webhook: WebhookView
    secret: str


class Webhooks(BaseModel):
    """Webhooks of the collections that the key sees, the oldest first."""

    webhooks: list[WebhookView]


class Deliveries(BaseModel):
    """What a webhook is still to be told, the newest first; what arrived is not kept."""

    deliveries: list[WebhookDelivery]


class Retried(BaseModel):
    """What came of a retry."""

    retried: int = Field(description="How many deliveries are tried again.", examples=[12])


EXAMPLE: Final = WebhookView(
    id="5f0c2a1b9d3e4f60",
    url="https://example.com/opinion",
    collection=COLLECTION,
    events=["query.ended"],
    created_by="local",
    created_at=AT,
)
WAITING: Final = WebhookDelivery(
    id=f"{EXAMPLE.id}.{JOB_ID}",
    webhook_id=EXAMPLE.id,
    job_id=JOB_ID,
    collection=COLLECTION,
    attempts=2,
    not_before=AT + 20.0,
    error="the answer was 500",
    created_at=AT,
)
BEGUN: Final = WAITING.model_copy(update={"attempts": 0, "not_before": AT + 90_000.0, "retried_at": AT + 90_000.0})


@router.post(
    "",
    summary="Be told when queries end",
    status_code=CREATED,
    response_model=NewWebhookView,
    responses={
        CREATED: shown(
            NewWebhookView,
            "Its secret is shown here and never again.",
            made=NewWebhookView(webhook=EXAMPLE, secret="whsec_..."),  # noqa: S106 - an example
        ),
        **answers(404),
    },
)
async def create(
    request: HttpRequest,
    held: Held,
    principal: Asker,
    given: Annotated[
        WebhookInput, Body(openapi_examples=said(one={"url": EXAMPLE.url, "collection": EXAMPLE.collection}))
    ],
) -> Response:
    """Register an address. It is told of queries to the collection that are asked from now on, wherever that is.

    What other processes ask counts within five seconds. Each request carries `Webhook-Id` and `Webhook-Signature:
    t=MOMENT,v1=HEX`, where HEX is the HMAC-SHA256 of `MOMENT.BODY` under the secret. An address that does not answer
    with 2xx is tried again for a day; the same may arrive twice, under one `Webhook-Id`.
    """
    principal.enter(given.collection)
    check_url(given.url, allow_private=held.settings.webhook_allow_private)
    await held.run(held.client.collection, given.collection)
    known = await held.run(held.parts.webhooks.listed)
    if sum(one.collection == given.collection for one in known) >= MOST:
        raise InvalidRequest(f"collection {given.collection!r} has {MOST} webhooks", hint="Remove one first.")
    made = Webhook.make(given.url, given.collection, created_by=principal.id, now=held.parts.stores.clock.now())
    await held.run(held.parts.webhooks.create, made)
    held.parts.webhook_book.forget()
    return answer(request, NewWebhookView(webhook=WebhookView.of(made), secret=made.secret), status=CREATED)


@router.get(
    "",
    summary="The webhooks",
    response_model=Webhooks,
    responses={200: shown(Webhooks, "Without their secrets.", one=Webhooks(webhooks=[EXAMPLE]))},
)
async def listed(request: HttpRequest, held: Held, principal: Asker) -> Response:
    """List the webhooks of the collections that the key sees."""
    found = [one for one in await held.run(held.parts.webhooks.listed) if principal.sees(one.collection)]
    return answer(request, Webhooks(webhooks=[WebhookView.of(one) for one in found]))


@router.get(
    "/{webhook_id}/deliveries",
    summary="What a webhook is still to be told",
    response_model=Deliveries,
    responses={
        200: shown(Deliveries, "Waiting, or parked after a day.", waiting=Deliveries(deliveries=[WAITING])),
        **answers(404),
    },
)
async def deliveries(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: HttpRequest,
    held: Held,
    principal: Asker,
    webhook_id: WebhookPath,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
) -> Response:
    """List what has not arrived yet, with the last error."""
    await _visible(held, principal, webhook_id)
    found = await held.run(held.parts.webhooks.deliveries, webhook_id, state=state, limit=limit)
    return answer(request, Deliveries(deliveries=[seen.delivery for seen in found]))


@router.post(
    "/{webhook_id}/deliveries/retry",
    summary="Tell again what was given up",
    response_model=Retried,
    responses={
        200: shown(Retried, "How many are tried again; when it is the most, call again.", some=Retried(retried=12)),
        **answers(404),
    },
)
async def retry_parked(request: HttpRequest, held: Held, principal: Asker, webhook_id: WebhookPath) -> Response:
    """Try all parked deliveries of a webhook again, for another day; 500 with one call, the newest first."""
    await _visible(held, principal, webhook_id)
    count = await webhook_desk(held).retry_parked(webhook_id, limit=LARGEST_PAGE)
    return answer(request, Retried(retried=count))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/retry",
    summary="Tell one thing again that was given up",
    response_model=WebhookDelivery,
    responses={
        200: shown(WebhookDelivery, "As it now is; one that was not parked stays as it was.", begun=BEGUN),
        **answers(404),
    },
)
async def retry(
    request: HttpRequest, held: Held, principal: Asker, webhook_id: WebhookPath, delivery_id: DeliveryPath
) -> Response:
    """Try a parked delivery again, for another day. What waits is tried by itself."""
    await _visible(held, principal, webhook_id)
    return answer(request, await webhook_desk(held).retry(webhook_id, delivery_id))


@router.delete(
    "/{webhook_id}",
    summary="Remove a webhook",
    status_code=NO_CONTENT,
    response_class=Response,
    responses={NO_CONTENT: {"description": "It is told nothing more."}, **answers(404)},
)
async def delete(held: Held, principal: Asker, webhook_id: WebhookPath) -> Response:
    """Remove a webhook; what it was still to be told is dropped."""
    await _visible(held, principal, webhook_id)
    await held.run(held.parts.webhooks.remove, webhook_id)
    held.parts.webhook_book.forget()
    return Response(status_code=NO_CONTENT)


async def _visible(held: Gateway, principal: Principal, webhook_id: str) -> Webhook:
    known = await held.run(held.parts.webhooks.listed)
    found = next((one for one in known if one.id == webhook_id and principal.sees(one.collection)), None)
    if found is None:
        raise UnknownWebhook(f"there is no webhook {webhook_id!r}")
    return found
