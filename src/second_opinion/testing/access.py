"""API keys in memory."""

from second_opinion.schemas.access import ApiKey
from second_opinion.schemas.errors import UnknownKey, WriteConflict


class MemoryApiKeys:
    """An `ApiKeyStore` in this process.

    Attributes:
        listings: How often all keys were asked for.
    """

    def __init__(self) -> None:
        self.listings = 0
        self._keys: dict[str, ApiKey] = {}

    def create(self, key: ApiKey) -> None:
        """Keep a new key."""
        if key.id in self._keys:
            raise WriteConflict(f"there is an API key {key.id} already")
        self._keys[key.id] = key

    def listed(self) -> list[ApiKey]:
        """Return all keys, revoked ones too, the oldest first."""
        self.listings += 1
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    def revoke(self, key_id: str, *, at: float) -> ApiKey:
        """Mark a key as revoked and return it; one that was revoked before stays as it was."""
        key = self._keys.get(key_id)
        if key is None:
            raise UnknownKey(f"there is no API key {key_id!r}")
        if key.revoked_at is None:
            key = self._keys[key_id] = key.model_copy(update={"revoked_at": at})
        return key
