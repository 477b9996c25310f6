"""Whether the caller is still there: what nobody waits for any more is not worth going on with."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request

from second_opinion.schemas.errors import JobCancelled

T = TypeVar("T")


async def while_there(request: Request, awaited: Awaitable[T]) -> T:
    """Await something for the caller of a request whose body has been read; when they leave, it is cancelled.

    Raises:
        JobCancelled: If the caller left first; nobody will read the answer.
    """
    work, gone = asyncio.ensure_future(awaited), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise JobCancelled("the caller has left")
    finally:
        gone.cancel()
        work.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
