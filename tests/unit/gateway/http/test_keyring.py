"""Keys as a gateway process knows them."""

import asyncio
from collections.abc import Callable

import pytest

from second_opinion.gateway.http import keyring
from second_opinion.gateway.http.keyring import FRESH_SECONDS, Keyring
from second_opinion.schemas.access import ApiKey, NewKey
from second_opinion.schemas.errors import StoreUnavailable
from second_opinion.testing.access import MemoryApiKeys
from second_opinion.testing.clock import ManualClock


class Rig:
    """A keyring on keys in memory and a clock that stands still."""

    def __init__(self) -> None:
        self.store, self.clock, self.away = MemoryApiKeys(), ManualClock(), False
        self.keys = Keyring(self.read, self.clock)

    async def read(self) -> list[ApiKey]:
        """Return all keys, if the store is there."""
        if self.away:
            raise StoreUnavailable("away")
        return self.store.listed()

    def make(self, *, lasts: float | None = None) -> NewKey:
        """Make a key that lasts for so many seconds."""
        now = self.clock.now()
        made = NewKey.make(
            "k", scopes=("query",), collections=("*",), now=now, expires_at=None if lasts is None else now + lasts
        )
        self.store.create(made.key)
        return made


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(keyring, "PAUSE_SECONDS", 0.0)
    return Rig()


async def test_a_known_key_costs_no_reading_while_it_is_fresh(rig: Rig) -> None:
    """One reading serves all who come within the time, and then one more is made."""
    made = rig.make()
    for _ in range(20):
        assert await rig.keys.find(made.token) == made.key
        assert not await rig.keys.is_empty()
    assert rig.store.listings == 1
    rig.clock.advance(FRESH_SECONDS + 0.1)
    await asyncio.gather(*(rig.keys.find(made.token) for _ in range(20)))
    assert rig.store.listings == 2


async def test_a_key_made_this_moment_is_found(rig: Rig) -> None:
    """Although what is known is fresh."""
    assert await rig.keys.is_empty()
    rig.clock.advance(0.5)
    made = rig.make()
    assert await rig.keys.find(made.token) == made.key


async def test_a_revoked_key_is_out_once_what_is_known_is_old(rig: Rig) -> None:
    """No later than that."""
    made = rig.make()
    assert await rig.keys.find(made.token) is not None
    rig.store.revoke(made.key.id, at=rig.clock.now())
    rig.clock.advance(FRESH_SECONDS + 0.1)
    assert await rig.keys.find(made.token) is None
    assert await rig.keys.is_empty()
    listings = rig.store.listings
    for _ in range(20):
        assert await rig.keys.find(made.token) is None
    assert rig.store.listings == listings


async def test_an_expired_key_is_out_to_the_second_and_still_says_that_keys_are_wanted(rig: Rig) -> None:
    """A gateway does not open itself because time has passed."""
    made = rig.make(lasts=2.0)
    assert await rig.keys.find(made.token) == made.key
    rig.clock.advance(2.0)
    assert await rig.keys.find(made.token) is None
    assert not await rig.keys.is_empty()


async def test_what_cannot_be_read_lets_nobody_in(rig: Rig) -> None:
    """Neither a holder of a good key nor one without, once what was known is old."""
    made = rig.make()
    assert await rig.keys.find(made.token) is not None
    rig.away = True
    rig.clock.advance(FRESH_SECONDS + 0.1)
    for call in (rig.keys.find(made.token), rig.keys.is_empty()):
        with pytest.raises(StoreUnavailable):
            await call


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1], lambda t: t + "x", lambda t: t.replace("so_", "sk_"), lambda _: "so__"]
)
async def test_nearly_a_key_is_none(rig: Rig, spoil: Callable[[str], str]) -> None:
    """To the last character."""
    made = rig.make()
    assert await rig.keys.find(spoil(made.token)) is None
    assert await rig.keys.find(made.token) == made.key
