"""Waiting for documents: however many callers wait, one look at a time asks for all of their documents."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from second_opinion.gateway.watching import WINDOW, DocumentName
from second_opinion.schemas.document import DocumentState, DocumentStatus
from second_opinion.schemas.errors import OpinionError

FIRST_PAUSE: Final = 0.05
LAST_PAUSE: Final = 0.5

Look = Callable[[Sequence[DocumentName]], Awaitable[dict[DocumentName, DocumentStatus]]]

log = structlog.get_logger(__name__)


class DocumentWaits:
    """Tells callers when their documents have settled: indexed, failed or deleted.

    Args:
        look: Reads the statuses of documents; those unknown are left out.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._waiting: dict[DocumentName, set[asyncio.Future[None]]] = {}
        self._newcomer = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def settled(self, document: DocumentName, seconds: float) -> None:
        """Return when the newest version of a document has settled, or `seconds` are over."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(document, set()).add(told)
        self._newcomer.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await told
        finally:
            others = self._waiting.get(document, set())
            others.discard(told)
            if not others:
                self._waiting.pop(document, None)

    async def _watch(self) -> None:
        pause = FIRST_PAUSE
        while self._waiting:
            self._newcomer.clear()
            pause = FIRST_PAUSE if await self._news() else min(LAST_PAUSE, 1.5 * pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._newcomer.wait()
                    await asyncio.sleep(FIRST_PAUSE)  # Those who come one after the other are asked for together.

    async def _news(self) -> bool:
        names, heard = list(self._waiting), False
        for start in range(0, len(names), WINDOW):
            part = names[start : start + WINDOW]
            try:
                known = await self._look(part)
            except OpinionError as problem:
                # Whoever waits looks once more itself when its time is over, and hears of it then.
                log.info("documents_not_seen", code=problem.code, waiting=len(names))
                continue
            for name in part:
                if name not in known or known[name].state is not DocumentState.RECEIVED:
                    heard = True
                    for told in self._waiting.get(name, ()):
                        if not told.done():
                            told.set_result(None)
        return heard
