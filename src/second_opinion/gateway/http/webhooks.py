"""Telling webhooks: what is due is claimed from the outbox, its job waited for, and the address told until it hears.

Any number of gateways may do this at once. A delivery is claimed by moving it ahead in time; a gateway that ends lets
its claims lapse, and another takes them up.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from second_opinion import __version__
from second_opinion.gateway.http.access import LOCAL
from second_opinion.gateway.http.context import Gateway
from second_opinion.pipeline.ports import SeenDelivery, WebhookSender
from second_opinion.pipeline.webhooks import after_failure, body_of, retried, signature
from second_opinion.schemas.errors import OpinionError, UnknownDelivery, UnknownJob, WebhookFailed
from second_opinion.schemas.webhook import DeliveryState, Webhook, WebhookDelivery

LOOK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
CLAIM_SECONDS: Final = 60.0
RENEWAL_SECONDS: Final = 30.0
ORPHAN_SECONDS: Final = 60.0
"""After so long a delivery whose job nobody knows is dropped: the question was refused, or its result has expired."""
AT_ONCE: Final = 200
AGENT: Final = f"second-opinion/{__version__}"

log = structlog.get_logger(__name__)


class WebhookDesk:
    """Knows the webhooks, and tells them.

    Args:
        sender: The way out.
    """

    def __init__(self, held: Gateway, sender: WebhookSender) -> None:
        self._held = held
        self._store = held.parts.webhooks
        self._book = held.parts.webhook_book
        self._clock = held.parts.stores.clock
        self._sender = sender
        self._telling: set[asyncio.Task[None]] = set()

    async def retry(self, webhook_id: str, delivery_id: str) -> WebhookDelivery:
        """Tell again what was parked, for a day from now; what waits is tried by itself and stays as it is.

        Raises:
            UnknownDelivery: If the webhook has no such delivery, or has heard it meanwhile.
        """
        while True:
            seen = await self._held.run(self._store.delivery, delivery_id)
            if seen is None or seen.delivery.webhook_id != webhook_id:
                raise UnknownDelivery(f"webhook {webhook_id!r} is not to be told {delivery_id!r}")
            if seen.delivery.state is not DeliveryState.PARKED:
                return seen.delivery
            begun = await self._begin_anew(seen)
            if begun is not None:
                return begun.delivery

    async def retry_parked(self, webhook_id: str, *, limit: int) -> int:
        """Tell again what was parked, at most `limit` deliveries, the newest first; return how many they are."""
        parked = await self._held.run(self._store.deliveries, webhook_id, state=DeliveryState.PARKED, limit=limit)
        begun = [await self._begin_anew(seen) for seen in parked]
        return len(begun) - begun.count(None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell webhooks for as long as the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            ending = [task, *self._telling]
            for one in ending:
                one.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            pause = IDLE_SECONDS
            try:
                pause = LOOK_SECONDS if await self._round() else IDLE_SECONDS
            except OpinionError as problem:
                log.info("outbox_not_read", code=problem.code)
            except Exception:
                log.exception("outbox_broke")
            await asyncio.sleep(pause)

    async def _round(self) -> bool:
        """Take up what is due; return whether there is anybody to be told, or anything to be told."""
        known = await self._held.run(self._book.known)
        room = AT_ONCE - len(self._telling)
        due = await self._held.run(self._store.due, now=self._clock.now(), limit=room) if room > 0 else []
        for seen in due:
            claimed = await self._put_off(seen, CLAIM_SECONDS)
            if claimed is not None:
                task = asyncio.create_task(self._tell(claimed))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)
        return bool(due or known)

    async def _tell(self, seen: SeenDelivery) -> None:
        try:
            await self._see_through(seen)
        except OpinionError as problem:
            # The claim lapses, and it is tried again.
            log.info("delivery_stopped", delivery=seen.delivery.id, code=problem.code)
        except Exception:
            log.exception("delivery_broke", delivery=seen.delivery.id)

    async def _see_through(self, seen: SeenDelivery) -> None:
        if seen.delivery.state is DeliveryState.PARKED:
            await self._held.run(self._store.settle, seen)
            return
        if seen.delivery.body:
            await self._send(seen, seen.delivery.body.encode())
            return
        while True:
            try:
                job = await self._held.parts.jobs.wait_async(seen.delivery.job_id, RENEWAL_SECONDS)
            except UnknownJob:
                await self._orphan(seen)
                return
            if job.is_terminal:
                break
            renewed = await self._put_off(seen, CLAIM_SECONDS)
            if renewed is None:
                return
            seen = renewed
        await self._send(seen, body_of(seen.delivery, job))

    async def _send(self, seen: SeenDelivery, body: bytes) -> None:
        # Looked for now and not when the waiting began: it may have been removed since, or its key revoked.
        known = await self._held.run(self._book.known)
        webhook = next((one for one in known if one.id == seen.delivery.webhook_id), None)
        if webhook is None or not await self._may_hear(webhook):
            await self._held.run(self._store.settle, seen)
            return
        now = self._clock.now()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": AGENT,
            "Webhook-Id": seen.delivery.id,
            "Webhook-Signature": signature(webhook, body, at=now),
        }
        try:
            status = await self._sender.send(webhook.url, headers, body)
            problem = "" if 200 <= status < 300 else f"the answer was {status}"  # noqa: PLR2004 - HTTP's own
        except WebhookFailed as failure:
            problem = failure.message
        if not problem:
            await self._held.run(self._store.settle, seen)
            return
        failed = after_failure(seen.delivery, body, problem, now=self._clock.now())
        tell = log.warning if failed.state is DeliveryState.PARKED else log.info
        tell(
            "webhook_not_told", delivery=failed.id, attempts=failed.attempts, problem=problem, state=failed.state.value
        )
        await self._held.run(self._store.swap, seen, failed)

    async def _may_hear(self, webhook: Webhook) -> bool:
        """Return whether whoever made it may still look into its collection: a key that is out hears nothing more."""
        return webhook.created_by == LOCAL.id or await self._held.keys.is_valid(webhook.created_by)

    async def _orphan(self, seen: SeenDelivery) -> None:
        if self._clock.now() > seen.delivery.created_at + ORPHAN_SECONDS:
            await self._held.run(self._store.settle, seen)
        else:
            await self._put_off(seen, IDLE_SECONDS)

    async def _put_off(self, seen: SeenDelivery, seconds: float) -> SeenDelivery | None:
        later = seen.delivery.model_copy(update={"not_before": self._clock.now() + seconds})
        return await self._held.run(self._store.swap, seen, later)

    async def _begin_anew(self, seen: SeenDelivery) -> SeenDelivery | None:
        return await self._held.run(self._store.swap, seen, retried(seen.delivery, now=self._clock.now()))


def webhook_desk(held: Gateway) -> WebhookDesk:
    """Return the desk of a gateway."""
    desk: WebhookDesk = held.more["webhooks"]
    return desk
