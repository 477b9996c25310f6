"""The API keys as this process knows them: read at most every few seconds, so that a revoked key is out soon."""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.access import ApiKey, hash_of, split_token

FRESH_SECONDS: Final = 5.0
"""How long what was read is believed: a revoked key is let in for no longer than this."""
PAUSE_SECONDS: Final = 0.25
"""Between two readings that unknown keys ask for, so that guessing costs Elasticsearch little."""
NOBODY: Final = hash_of(secrets.token_urlsafe(32))


@dataclass(frozen=True, slots=True)
class Known:
    """What was read of the store.

    Attributes:
        keys: All keys by id, revoked and expired ones too: whoever sends one of those need not be looked up again.
        asked_at: Unix seconds before the store was asked.
    """

    keys: Mapping[str, ApiKey]
    asked_at: float


class Keyring:
    """Finds the key that a token opens.

    Args:
        read: Returns all keys of the store.
        clock: What time it is.
    """

    def __init__(self, read: Callable[[], Awaitable[list[ApiKey]]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._known: Known | None = None
        self._lock = asyncio.Lock()

    async def is_empty(self) -> bool:
        """Return whether there is no key that nobody has revoked: an expired key still says that keys are wanted.

        Raises:
            StoreUnavailable: If that cannot be known: nobody is let in then.
        """
        known = await self._fresh(self._clock.now() - FRESH_SECONDS)
        return all(key.revoked_at is not None for key in known.keys.values())

    async def is_valid(self, key_id: str) -> bool:
        """Return whether a key of this id is neither revoked nor expired.

        Raises:
            StoreUnavailable: If that cannot be known.
        """
        now = self._clock.now()
        key = (await self._fresh(now - FRESH_SECONDS)).keys.get(key_id)
        return key is not None and key.is_valid(now=now)

    async def find(self, token: str) -> ApiKey | None:
        """Return the valid key that a token opens; None for every other token, whatever is wrong with it.

        A key that was made before this call is found, however recently.

        Raises:
            StoreUnavailable: If that cannot be known.
        """
        key_id, secret = split_token(token) or ("", "")
        now = self._clock.now()
        key = (await self._fresh(now - FRESH_SECONDS)).keys.get(key_id)
        if key is None and key_id:
            key = (await self._fresh(now)).keys.get(key_id)
        if key is None:
            hmac.compare_digest(NOBODY, hash_of(secret))  # a stranger's key takes as long as a known one's
            return None
        return key if key.opens_with(secret) and key.is_valid(now=self._clock.now()) else None

    async def _fresh(self, since: float) -> Known:
        """Return what is known, read again if the store was last asked before `since`."""
        async with self._lock:
            known = self._known
            if known is not None and known.asked_at >= since:
                return known
            now = self._clock.now()
            if known is not None and since > now - FRESH_SECONDS:
                await asyncio.sleep(max(0.0, known.asked_at + PAUSE_SECONDS - now))
            asked_at = self._clock.now()
            keys = {key.id: key for key in await self._read()}
            self._known = known = Known(keys, asked_at)
            return known
