"""Callers that wait, and how they are let go."""

import asyncio

import pytest

from second_opinion.gateway.http.waiting import Waiting
from second_opinion.schemas.errors import GatewayStopping, StoreUnavailable


async def soon(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def never() -> int:
    await asyncio.Event().wait()
    raise AssertionError


async def test_what_is_waited_for_comes_back_as_it_is() -> None:
    """The value, or the error; nobody is counted afterwards."""
    waiting = Waiting()
    assert await waiting.until(soon(7)) == 7

    async def fails() -> int:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await waiting.until(fails())
    assert waiting.count == 0


async def test_everybody_is_let_go_at_once_when_it_stops() -> None:
    """Those who wait and those who come later; what they waited for is cancelled."""
    waiting, cancelled = Waiting(), []

    async def work() -> int:
        try:
            return await never()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    waiters = [asyncio.create_task(waiting.until(work())) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert waiting.count == 50
    waiting.stop()
    waiting.stop()
    heard = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 5)
    assert {type(one) for one in heard} == {GatewayStopping}
    with pytest.raises(GatewayStopping):
        await asyncio.wait_for(waiting.until(never()), 5)
    await asyncio.sleep(0)
    assert len(cancelled) == 50
    assert waiting.count == 0


async def test_what_is_there_already_is_told_even_then() -> None:
    """A caller whose answer has come hears it, not that the gateway stops."""
    waiting = Waiting()
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    done.set_result(7)
    waiting.stop()
    assert await waiting.until(done) == 7


async def test_who_leaves_is_not_waited_for() -> None:
    """The work behind a caller that is gone is cancelled."""
    waiting = Waiting()
    work = asyncio.ensure_future(never())
    waiter = asyncio.create_task(waiting.until(work))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await asyncio.sleep(0)
    assert work.cancelled()
    assert waiting.count == 0
